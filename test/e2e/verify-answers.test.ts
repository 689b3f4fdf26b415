import { createHash } from 'node:crypto'
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { sealJson, unsealJson } from '../../src/repository/sealed-json.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { crc32c } from '../../src/tsdb/crc32c.ts'
import { promDr } from '../cli/launcher.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { keysOf } from '../support/bodies.ts'
import { overwrite } from '../support/both-stores.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, prometheusBinary } from '../support/prometheus.ts'
import { type Restorable, makeRestorable } from '../support/restorable.ts'

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a verification', () => {
  let source: Restorable

  beforeAll(async () => {
    source = await makeRestorable({ recoveryPoints: 2 })
  })

  it('starts a server on the recovery point and gets the answers of the source', async () => {
    const operations = operationsOn(source.api, createFileStore({ root: source.root }))
    const report = await operations.verify({ startServer: true, ids: source.ids })
    expect(report).toMatchObject({ ok: true, answers: source.ids.map((recoveryPoint) => ({ recoveryPoint, equal: true, differences: [] })) })
    for (const answers of report.answers) expect(answers.samples).toBeGreaterThan(5)
    expect((await operations.verify({ startServer: true })).answers.map(({ recoveryPoint }) => recoveryPoint)).toEqual([source.ids[1]])
  })

  it('leaves no copy of the data when it is killed with its server: the next one removes it', async () => {
    const [cwd, scratch] = [await temporaryDirectory('cwd'), await temporaryDirectory('scratch')]
    const { root } = await source.copy()
    const verifyWith = async (binary: string) => {
      await writeFile(join(cwd, 'prom-dr.yml'), `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9', binary: ${binary}}\nrepositories: [{name: primary, url: 'file://${root}'}]\n`)
      return promDr(['verify', '--start-server'], { cwd, env: { TMPDIR: scratch } })
    }
    const copies = async () => (await readdir(scratch)).filter((name) => !name.startsWith('prom-dr-server-'))
    const deadly = join(cwd, 'prometheus')
    await writeFile(deadly, '#!/bin/sh\nkill -9 $PPID\n', { mode: 0o755 })
    expect(await verifyWith(deadly)).toMatchObject({ signal: 'SIGKILL' })
    expect(await copies()).toHaveLength(1)
    expect(await verifyWith(prometheusBinary())).toMatchObject({ code: 0 })
    expect(await copies()).toEqual([])
  })

  it('notices other values also where every checksum fits', async () => {
    const { root, store } = await source.copy()
    await rm(join(root, 'instances/prom-a/recovery-points', `${source.ids[0]}.json`))
    await forge(root, source.ids[1] ?? '')
    const operations = operationsOn(source.api, store)
    expect(await operations.verify({ readData: true, ids: source.ids.slice(1) })).toMatchObject({ ok: true, damaged: [] })
    const report = await operations.verify({ startServer: true })
    expect(report).toMatchObject({ ok: false, damaged: [], answers: [{ equal: false }] })
    expect(report.answers[0]?.differences[0]).toEqual({ what: expect.stringMatching(/\w+/), expected: expect.stringMatching(/0x[0-9a-f]{16}/), observed: expect.stringMatching(/0x[0-9a-f]{16}/) })
    const restored = await operations.restore(join(await temporaryDirectory('forged'), 'data'))
    expect(restored).toMatchObject({ answers: { equal: false }, rtoSeconds: null })
  })

  it('by n of t reads every byte in t runs, and by per cent comes round to everything', async () => {
    const { root, store } = await source.copy()
    const { checkedBytes } = await operationsOn(source.api, store).verify({ readData: true })
    const readBy = async (runs: (index: number) => Parameters<ReturnType<typeof operationsOn>['verify']>[0], count: number) => {
      const keys: string[][] = []
      let bytes = 0
      for (let run = 0; run < count; run += 1) {
        const faulty = createFaultyStore(store, [])
        const report = await operationsOn(source.api, faulty).verify(runs(run))
        bytes += report.checkedBytes
        keys.push([...new Set(faulty.calls.filter(({ verb, key }) => verb === 'get' && /^blocks|heads|tombstones/.test(key)).map(({ key }) => key))])
      }
      return { keys, bytes }
    }
    const all = (await keysOf(store)).filter((key) => /^blocks|heads|tombstones/.test(key)).sort()
    const groups = await readBy((run) => ({ readData: true, subset: { kind: 'group', group: run + 1, groups: 3 } }), 3)
    expect(groups.keys.flat().sort()).toEqual(all)
    expect(groups.bytes).toBe(checkedBytes)

    await rm(join(root, 'instances/prom-a/verifications'), { recursive: true })
    // A record that cannot be read is a verification that never was; it must not stop those that follow.
    await overwrite(store, 'instances/prom-a/verifications/20260101T000000Z-aaaaaaaa.json', '{"finishedAt": ')
    const shares = await readBy(() => ({ readData: true, subset: { kind: 'percent', percent: 30 } }), 5)
    expect(shares.keys.slice(0, 4).flat().sort()).toEqual(all)
    expect([...(shares.keys[4] ?? [])].sort()).toEqual([...(shares.keys[0] ?? [])].sort())
  })

  it('of one of two repositories out of reach is one of the other, and says so; of none it fails', async () => {
    const store = createFileStore({ root: source.root })
    const down = createFaultyStore(createFileStore({ root: join(source.root, 'no-such') }), Array.from({ length: 50 }, (_, call) => ({ verb: 'any' as const, call: call + 1, at: 'before' as const })))
    expect(await operationsOn(source.api, [{ name: 'down', store: down }, { name: 'up', store }]).verify()).toMatchObject({ ok: true, checkedRecoveryPoints: 2, unreachable: [{ repository: 'down', code: 'STORE_UNREACHABLE' }] })
    expect(await rejectionOf(operationsOn(source.api, [{ name: 'down', store: down }]).verify())).toMatchObject({ code: 'STORE_UNREACHABLE' })
  })

  it('of an id that is nowhere says so', async () => {
    const operations = operationsOn(source.api, createFileStore({ root: source.root }))
    expect(await rejectionOf(operations.verify({ ids: ['20200101T000000Z-aaaaaaaa'] }))).toMatchObject({ code: 'NO_RECOVERY_POINT' })
  })
})

/** Adds 1 to an exponent bit of the first value of every chunk, and makes every checksum up to the manifest's fit. */
async function forge(root: string, id: string): Promise<void> {
  const manifestPath = join(root, 'instances/prom-a/recovery-points', `${id}.json`)
  type Named = { ulid: string; files: Record<string, number>; metaSha256: string }
  const manifest = unsealJson(await readFile(manifestPath), 'manifest') as unknown as { blocks: Named[]; head: { block: Named } }
  for (const [block, directory] of [...manifest.blocks.map((block) => [block, join(root, 'blocks', block.ulid)] as const), [manifest.head.block, join(root, 'instances/prom-a/heads', manifest.head.block.ulid)] as const]) {
    const digests = new Map<string, string>()
    for (const name of await readdir(join(directory, 'chunks'))) {
      const bytes = forgeChunks(await readFile(join(directory, 'chunks', name)))
      await writeFile(join(directory, 'chunks', name), bytes)
      digests.set(`chunks/${name}`, createHash('sha256').update(bytes).digest('hex'))
    }
    const meta = JSON.parse(await readFile(join(directory, 'meta.json'), 'utf8'))
    for (const file of meta.thanos.files) if (digests.has(file.rel_path)) file.hash.value = digests.get(file.rel_path)
    const text = JSON.stringify(meta)
    await writeFile(join(directory, 'meta.json'), text)
    block.files['meta.json'] = Buffer.byteLength(text)
    block.metaSha256 = createHash('sha256').update(text).digest('hex')
  }
  await writeFile(manifestPath, sealJson(manifest))
}

/** A chunk: uvarint length, encoding, data (u16 count, varint time, the first value's 8 bytes, …), CRC-32C of encoding and data. */
function forgeChunks(bytes: Buffer): Buffer {
  for (let at = 8; at < bytes.length; ) {
    let length = 0
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]!
      length += (byte & 127) * shift
      if (byte < 128) break
    }
    const encodingAt = at
    let value = encodingAt + 1 + 2
    while (bytes[value]! >= 128) value += 1
    bytes[value + 2]! ^= 0x10
    at = encodingAt + 1 + length
    bytes.writeUInt32BE(crc32c(bytes.subarray(encodingAt, at)), at)
    at += 4
  }
  return bytes
}
