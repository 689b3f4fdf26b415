import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { makeBlocks } from '../support/blocks.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { everySample } from '../support/restorable.ts'
import { follow, onlyShellOf, withNames, withoutHost } from '../support/runbook.ts'

const runbook = new URL('../../runbooks/restore-by-hand.md', import.meta.url)
const blockSpanMs = 2 * 3_600_000
/** Scrapes that were under way when the head was written are not all in it (startTestPrometheus has a timeout of 1 s). */
const scrapeTimeoutMs = 1000

describe.skipIf(missingPrograms('prometheus', 'promtool', 'jq', 'bash'))('runbooks/restore-by-hand.md', () => {
  it('brings every sample back without prom-dr, and deletions too', async () => {
    const source = await backedUpServer()
    const target = join(await temporaryDirectory('target'), 'metrics2')
    await mkdir(target)
    const printed = await follow(await scriptOfRunbook({ recoveryPoint: source.recoveryPoint, target }), source.parent)
    const digests = printed.match(/[0-9a-f]{64}/g) ?? []
    expect(digests, printed).toHaveLength(2)
    expect(digests[0]).toBe(digests[1])
    const restored = await startTestPrometheus({ dataDir: target, retention: '10y', targets: [] })
    expect(await everySample(restored.api, source.endMs)).toEqual(source.samples)
    expect(source.samples.length).toBeGreaterThan(20)
  })

  it('says so where a file of the repository is damaged', async () => {
    const source = await backedUpServer()
    const target = join(await temporaryDirectory('target'), 'metrics2')
    await mkdir(target)
    const script = await scriptOfRunbook({ recoveryPoint: source.recoveryPoint, target })
    const damage = `f=$(find blocks -name 000001 | head -n 1); printf x | dd of="$f" bs=1 seek=100 conv=notrunc status=none\n`
    await expect(follow(script.replace('\nT=', `\n${damage}T=`), source.parent)).rejects.toMatchObject({ stdout: expect.stringContaining('chunks/000001: FAILED') })
  })
})

/** A server with three blocks, a deletion in one of them and a head, backed up into `<parent>/repo` and dead now. */
async function backedUpServer() {
  const parent = await temporaryDirectory('by-hand')
  const startMs = Math.floor(Date.now() / blockSpanMs - 6) * blockSpanMs
  const { dataDir } = await makeBlocks({ series: 20, samples: 1000, stepMs: 20_000, startMs, dataDir: await temporaryDirectory('source') })
  const server = await startTestPrometheus({ dataDir, retention: '10y' })
  await waitForSamples(server, 'up', 3)
  const deletion = new URLSearchParams({ 'match[]': 'prom_dr_test{series="1"}', start: String(startMs / 1000), end: String(startMs / 1000 + 600) })
  expect((await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?${deletion}`, { method: 'POST' })).ok).toBe(true)
  const { recoveryPoint } = await operationsOn(server.api, createFileStore({ root: join(parent, 'repo') })).backup()
  const endMs = Date.parse(recoveryPoint.maxTime ?? '') - scrapeTimeoutMs
  const samples = await everySample(server.api, endMs)
  await server.kill()
  return { parent, recoveryPoint: recoveryPoint.id, endMs, samples }
}

async function scriptOfRunbook({ recoveryPoint, target }: { recoveryPoint: string; target: string }): Promise<string> {
  return withNames(withoutHost(onlyShellOf(await readFile(runbook, 'utf8')), target), [['20261121T051500Z-ab12cd34', recoveryPoint]])
}
