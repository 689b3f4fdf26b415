import { createHash } from 'node:crypto'
import { readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { sealJson, unsealJson } from '../../src/repository/sealed-json.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { verifyLocalBlock } from '../../src/tsdb/verify-block.ts'
import { promDr } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { keysOf } from '../support/bodies.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { type Restorable, makeRestorable } from '../support/restorable.ts'

const kinds = {
  'a manifest': /recovery-points/,
  'the meta.json of a block': /^blocks\/.*meta\.json$/,
  'an index': /^blocks\/.*index$/,
  'a chunk file': /^blocks\/.*chunks\/000001$/,
  'a file of the head block': /heads\/.*chunks\/000001$/,
  'the deletions of a block': /tombstones\//,
  'prom-dr.json': /^prom-dr\.json$/,
  'instance.json': /instance\.json$/,
}
type Kind = keyof typeof kinds

const damages: Record<string, (path: string) => Promise<void>> = {
  truncated: async (path) => writeFile(path, (await readFile(path)).subarray(0, -1)),
  'cut to a few bytes': async (path) => writeFile(path, (await readFile(path)).subarray(0, 10)),
  'larger by a byte': async (path) => writeFile(path, Buffer.concat([await readFile(path), Buffer.from('\n')])),
  'with a flipped bit': async (path) => writeFile(path, flipped(await readFile(path), (await stat(path)).size >> 1)),
  missing: async (path) => rm(path),
}

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a damaged repository', () => {
  let source: Restorable

  beforeAll(async () => {
    source = await makeRestorable()
  })

  for (const kind of Object.keys(kinds) as Kind[]) {
    for (const [damage, inflict] of Object.entries(damages)) {
      // A manifest that is gone is a recovery point that was never made.
      if (kind === 'a manifest' && damage === 'missing') continue
      it(`with ${kind} ${damage} is told by verify, and restored only from a repository that is whole`, async () => {
        const { root, store } = await source.copy()
        const key = (await keysOf(store)).find((candidate) => kinds[kind].test(candidate)) ?? ''
        await inflict(join(root, ...key.split('/')))
        const alone = operationsOn(source.api, store)
        const both = operationsOn(source.api, [{ name: 'damaged', store }, { name: 'whole', store: createFileStore({ root: source.root }) }])
        const readData = damage === 'with a flipped bit'

        expect(await alone.verify({ readData })).toMatchObject({ ok: false, damaged: [{ repository: 'primary', key, reason: expect.stringMatching(/\w/) }] })
        const report = await both.verify({ readData })
        expect(report).toMatchObject({ ok: false, damaged: [{ repository: 'damaged', key }] })
        expect(report.checkedRecoveryPoints).toBe(kind === 'prom-dr.json' || kind === 'a manifest' ? 1 : 2)

        const target = join(await temporaryDirectory('target'), 'data')
        if (kind === 'instance.json' || kind === 'prom-dr.json') {
          // No sample is in them: the only copy of all history is still a good one.
          const restored = await alone.restore(target, { start: false })
          expect(restored.repaired).toEqual([])
          expect(restored.warnings.filter((warning) => warning.includes('prom-dr.json'))).toHaveLength(kind === 'prom-dr.json' ? 1 : 0)
          expect(await verifiedBy(target)).toBe(4)
          if (kind === 'prom-dr.json') expect(await both.restore(join(target, '..', 'of-both'), { start: false })).toMatchObject({ repaired: [], unreachable: [{ repository: 'damaged', code: 'DAMAGED', key }] })
          return
        }
        expect(await rejectionOf(alone.restore(target, { start: false }))).toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(key), details: { key } })
        expect((await readdir(target).catch(() => [])).filter((name) => !name.startsWith('.prom-dr-'))).toEqual([])
        const restored = await both.restore(target, { start: false })
        expect(restored.repaired).toContainEqual({ key, from: 'whole', reason: expect.stringMatching(/^damaged: /) })
        expect(await verifiedBy(target)).toBe(4)
      })
    }
  }

  it('has every flipped byte found by verify --read-data, in whatever object it is', async () => {
    const { root, store } = await source.copy()
    const operations = operationsOn(source.api, store)
    const named = (await keysOf(store)).filter((key) => /^blocks|heads|tombstones|recovery-points|^prom-dr\.json|instance\.json/.test(key))
    expect(named.length).toBeGreaterThan(14)
    for (const key of named) {
      const path = join(root, ...key.split('/'))
      const bytes = await readFile(path)
      const positions = new Set([0, bytes.length - 1, ...[0.13, 0.37, 0.61, 0.89].map((part) => Math.floor(bytes.length * part))])
      for (const position of positions) {
        await writeFile(path, flipped(bytes, position))
        const found = await operations.verify({ readData: true }).then(({ damaged }) => damaged.map((damage) => damage.key), (error: { details?: { key?: string } }) => [error.details?.key])
        expect(found, `${key}, byte ${position}`).toEqual([key])
      }
      await writeFile(path, bytes)
    }
    expect(await operations.verify({ readData: true })).toMatchObject({ ok: true, damaged: [] })
  })

  it('has exit code 5 and names the object, on the command line', async () => {
    const { root, store } = await source.copy()
    const key = (await keysOf(store)).find((candidate) => kinds['a chunk file'].test(candidate)) ?? ''
    await damages['with a flipped bit']?.(join(root, ...key.split('/')))
    const directory = await temporaryDirectory('command')
    const configFile = join(directory, 'prom-dr.yml')
    await writeFile(configFile, `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9'}\nrepositories:\n  - {name: primary, url: 'file://${root}'}\n`)
    const command = (...args: string[]) => promDr([...args, '--config', configFile, '--json'], { cwd: directory })
    expect(await command('verify')).toMatchObject({ code: 0 })
    const verified = await command('verify', '--read-data')
    expect(verified.code).toBe(5)
    expect(JSON.parse(verified.stdout)).toMatchObject({ ok: false, damaged: [{ key }] })
    const restored = await command('restore', '--at', 'latest', '--target', join(directory, 'target'), '--side-instance')
    expect(restored.code).toBe(5)
    expect(JSON.parse(restored.stdout)).toMatchObject({ error: { code: 'DAMAGED', message: expect.stringContaining(key) } })
  })

  it('is not called sound for an instance that is not in it, and no record makes one of the name', async () => {
    const { root, store } = await source.copy()
    const other = createFileStore({ root: (await source.copy()).root })
    await rm(join(root, 'instances', 'prom-a'), { recursive: true })
    const before = await keysOf(store)
    expect(await rejectionOf(operationsOn(source.api, other).verify({ instance: 'prom-b' }))).toMatchObject({ code: 'INSTANCE_NOT_FOUND', hint: expect.stringContaining('it has: prom-a') })
    expect(await operationsOn(source.api, [{ name: 'without', store }, { name: 'whole', store: other }]).verify({ instance: 'prom-a' })).toMatchObject({ ok: true, checkedRecoveryPoints: 1 })
    expect(await keysOf(store)).toEqual(before)
    expect((await keysOf(other)).filter((key) => key.includes('prom-b'))).toEqual([])
  })

  it('whose newest recovery point is damaged gives the one before for latest, and says so', async () => {
    const two = await makeRestorable({ recoveryPoints: 2 })
    const [older = '', newer = ''] = two.ids
    for (const [kind, lost] of [['a manifest', `instances/prom-a/recovery-points/${newer}.json`], ['a head block', 'heads']] as const) {
      const { root, store } = await two.copy()
      const operations = operationsOn(two.api, store)
      const heads = (await keysOf(store, 'instances/prom-a/heads/')).filter((key) => key.endsWith('index'))
      const key = kind === 'a manifest' ? lost : (heads.at(-1) ?? '')
      if (kind === 'a manifest') await damages['with a flipped bit']?.(join(root, key))
      else await rm(join(root, key))
      const target = join(await temporaryDirectory('target'), 'data')
      expect(await rejectionOf(operations.restore(target, { start: false, at: { kind: 'recovery-point', id: newer } }))).toMatchObject({ code: 'DAMAGED', details: { key } })
      const report = await operations.restore(target, { start: false })
      expect(report).toMatchObject({ stoppedBy: 'damaged', plan: { recoveryPoint: older } })
      expect(report.warnings.join('\n')).toContain(`recovery point ${newer} is newer and cannot be restored: ${key}`)
    }
  })

  it('that was made to mislead is refused: foreign paths, other sizes, other files, lying and doubled ULIDs, newer formats', async () => {
    const [id = ''] = source.ids
    const manifestKey = `instances/prom-a/recovery-points/${id}.json`
    type Manifest = { blocks: { ulid: string; files: Record<string, number>; metaSha256: string; numSamples: number }[]; version: number }
    const lies: Record<string, (manifest: Manifest, root: string) => Promise<void> | void> = {
      'a path outside': ({ blocks: [block] }) => void (block!.files['../../etc/cron.d/x'] = 10),
      'an absolute path': ({ blocks: [block] }) => void (block!.files['/etc/cron.d/x'] = 10),
      'a ULID that is a path': ({ blocks: [block] }) => void (block!.ulid = '../../../../etc/cron.d/x'),
      'one block twice': ({ blocks }) => void blocks.push(blocks[0]!),
      'a ULID that lies': async (manifest, root) => {
        const [first, second] = manifest.blocks
        await writeFile(join(root, 'blocks', first!.ulid, 'meta.json'), await readFile(join(root, 'blocks', second!.ulid, 'meta.json')))
        first!.metaSha256 = second!.metaSha256
        first!.files['meta.json'] = second!.files['meta.json']!
      },
      'a meta.json with another size': rewriteMeta((meta) => void (meta.thanos.files[0]!.size_bytes! += 1)),
      'a meta.json with another file': rewriteMeta((meta) => void meta.thanos.files.push({ rel_path: '../../../../../../etc/cron.d/x', size_bytes: 1 })),
      'a meta.json without a file': rewriteMeta((meta) => void meta.thanos.files.splice(0, 1)),
      'a meta.json with other counts': rewriteMeta((meta) => void (meta.stats.numSamples += 1)),
    }
    for (const [what, tell] of Object.entries(lies)) {
      const { root, store } = await source.copy()
      const manifest = unsealJson(await readFile(join(root, manifestKey)), manifestKey) as unknown as Manifest
      await tell(manifest, root)
      await writeFile(join(root, manifestKey), sealJson(manifest))
      const operations = operationsOn(source.api, store)
      const target = join(await temporaryDirectory('target'), 'a', 'b', 'c', 'data')
      expect(await rejectionOf(operations.restore(target, { start: false })), what).toMatchObject({ code: 'DAMAGED' })
      expect((await readdir(target).catch(() => [])).filter((name) => !name.startsWith('.prom-dr-')), what).toEqual([])
      expect(await operations.verify({ readData: true }), what).toMatchObject({ ok: false })
      await expect(stat('/etc/cron.d/x'), what).rejects.toMatchObject({ code: 'ENOENT' })
    }
    const { root, store } = await source.copy()
    const format = unsealJson(await readFile(join(root, 'prom-dr.json')), 'prom-dr.json')
    await writeFile(join(root, 'prom-dr.json'), sealJson({ ...format, version: 2 }))
    const operations = operationsOn(source.api, store)
    for (const refused of [() => operations.verify(), () => operations.restore('/nowhere/at/all')]) expect(await rejectionOf(refused())).toMatchObject({ code: 'REPOSITORY_TOO_NEW', hint: expect.stringContaining('upgrade') })
  })
})

interface Meta {
  stats: { numSamples: number }
  thanos: { files: { rel_path: string; size_bytes?: number }[] }
}

/** Changes a stored meta.json and makes the manifest fit it. */
function rewriteMeta(change: (meta: Meta) => void) {
  return async ({ blocks: [block] }: { blocks: { ulid: string; files: Record<string, number>; metaSha256: string }[] }, root: string): Promise<void> => {
    const path = join(root, 'blocks', block!.ulid, 'meta.json')
    const meta = JSON.parse(await readFile(path, 'utf8')) as Meta
    change(meta)
    const text = JSON.stringify(meta)
    await writeFile(path, text)
    block!.files['meta.json'] = Buffer.byteLength(text)
    block!.metaSha256 = createHash('sha256').update(text).digest('hex')
  }
}

function flipped(bytes: Buffer, position: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[position]! ^= 0x04
  return copy
}

async function verifiedBy(target: string): Promise<number> {
  const ulids = (await readdir(target)).filter((name) => !name.startsWith('.'))
  for (const ulid of ulids) await verifyLocalBlock(join(target, ulid))
  return ulids.length
}
