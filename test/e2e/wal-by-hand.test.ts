import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/cleanup.ts'
import { missingPrograms, remoteWrite, startTestPrometheus } from '../support/prometheus.ts'
import { follow, onlyShellOf, withNames, withoutHost } from '../support/runbook.ts'
import { type Samples, differences, samplesOf } from '../support/shipped-server.ts'
import { startWrittenServer } from '../support/written-server.ts'

const runbook = new URL('../../runbooks/wal-by-hand.md', import.meta.url)
const config = { storage: { tsdb: { out_of_order_time_window: '10m' } } }

describe.skipIf(missingPrograms('prometheus', 'jq', 'brotli', 'bash'))('runbooks/wal-by-hand.md', () => {
  let root: string
  let recoveryPoint: string
  let source: Samples
  let page: string

  beforeAll(async () => {
    page = await readFile(runbook, 'utf8')
    const written = await startWrittenServer({ config })
    root = written.root
    await written.write(5)
    await written.ship()
    await written.operations.backup()
    for (let round = 0; round < 5; round += 1) {
      await written.write(12)
      await written.settle()
      await written.ship()
    }
    recoveryPoint = (await written.operations.backup()).recoveryPoint.id
    const { url } = written.server
    const nowMs = Date.now() - 3_400_000
    await remoteWrite(url, [{ labels: { __name__: 'late' }, samples: [{ timestampMs: nowMs, value: 1 }] }])
    await remoteWrite(url, [{ labels: { __name__: 'late' }, samples: [{ timestampMs: nowMs - 5000, value: 2 }] }])
    // Where the server has put the late sample into a block since, it is in no log, and the recovery point made for that has it.
    const { backups } = await written.ship()
    recoveryPoint = backups[0]?.recoveryPoint ?? recoveryPoint
    source = await written.samples()
    await written.server.kill()
  })

  async function followed(change: (script: string) => string = (script) => script): Promise<string> {
    const parent = await temporaryDirectory('by-hand')
    const target = join(parent, 'metrics2')
    await mkdir(target)
    await promisify(execFile)('cp', ['-a', root, join(parent, 'repo')])
    const script = withNames(withoutHost(onlyShellOf(page), target), [['20261121T051500Z-ab12cd34', recoveryPoint]])
    await follow(change(script), parent)
    return target
  }

  async function expectEverything(dataDir: string): Promise<void> {
    const server = await startTestPrometheus({ dataDir, scrapeItself: false, retention: '10y', config })
    expect(differences(source, await samplesOf(server.api, { endMs: Date.now() }))).toEqual([])
    expect([...source.keys()].filter((name) => name.includes('late'))).toHaveLength(1)
    await server.kill()
  }

  it('brings every sample back without prom-dr, from a checkpoint, parts and the out-of-order log', async () => {
    const target = await followed()
    const listing = (await promisify(execFile)('find', [target, '-name', 'checkpoint.*'])).stdout
    expect(listing).toContain('checkpoint.')
    await expectEverything(target)
  })

  it('does so without brotli too', async () => {
    const inNode = /`(node -e '[^`]*)`/.exec(page)?.[1] ?? ''
    expect(inNode).toContain('createBrotliDecompress')
    await expectEverything(await followed((script) => script.replaceAll('brotli -dc "$F"', inNode)))
  })

  it('says so where a part, or a file of the checkpoint, is damaged', async () => {
    for (const pattern of ['*/wal/0*/*.br', '*/checkpoints/*/*.br']) {
      // All of them: which ones a replay needs depends on where the newest recovery point lies.
      const damage = `find repo -path '${pattern}' | while read -r f; do printf '\\377' | dd of="$f" bs=1 seek=$(($(stat -c %s "$f") / 2)) conv=notrunc status=none; done\n`
      await expect(followed((script) => damage + script), pattern).rejects.toMatchObject({ code: 1 })
    }
  })

  it('stops where the recovery point is of a history that a restore left behind', async () => {
    const madeAtMs = await madeAt()
    const following = (parent: object) => followed((script) => changed({ parent: { generation: 'x', ...parent } }) + script)
    await expect(following({ at: madeAtMs - 1, restoredAt: madeAtMs + 1 })).rejects.toMatchObject({ code: 1 })
    await following({ at: madeAtMs - 1, restoredAt: madeAtMs + 1, recoveryPoint })
    await following({ at: madeAtMs, restoredAt: madeAtMs + 1 })
    await following({ at: madeAtMs - 1, restoredAt: madeAtMs })
    await following({ at: madeAtMs - 1 })
  })

  it('stops where the recovery point is from before the gap that the log began after', async () => {
    const madeAtMs = await madeAt()
    const following = (toMs: number, startedAt: number) => followed((script) => changed({ startedAt, gap: { from: null, to: toMs, reason: 'x' } }) + script)
    await expect(following(madeAtMs + 1, madeAtMs + 2)).rejects.toMatchObject({ code: 1 })
    await following(madeAtMs, madeAtMs + 1)
    await following(madeAtMs + 1, madeAtMs)
  })

  async function madeAt(): Promise<number> {
    return Date.parse((JSON.parse(await readFile(join(root, 'instances/prom-a/recovery-points', `${recoveryPoint}.json`), 'utf8')) as { createdAt: string }).createdAt)
  }

  /** For the beginning of the script: fields of the generation's document say something else. */
  function changed(fields: object): string {
    return `for f in repo/instances/prom-a/wal/*/generation.json; do jq --argjson p '${JSON.stringify(fields)}' '. + $p' "$f" > new.json; mv new.json "$f"; done\n`
  }
})
