import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { PromDrError } from '../../src/errors.ts'
import { list } from '../../src/operations/report/list.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { shipOnce } from '../support/shipping.ts'

async function shippedAndLost() {
  const store = createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') })
  const old = await startTestPrometheus()
  await waitForSamples(old, 'up', 2)
  await operationsOn(old.api, store).backup({ head: 'always' })
  await waitForSamples(old, 'up', 4)
  await shipOnce(old.api, store, { dataDir: old.dataDir })
  await old.kill()
  return { store, old, lostAtMs: Date.now() }
}

describe.skipIf(missingPrograms('prometheus'))('a server that begins with an empty directory', () => {
  it('is not taken for what was shipped before its directory was lost', async () => {
    const { store, old, lostAtMs } = await shippedAndLost()
    await rm(old.dataDir, { recursive: true })
    const next = await startTestPrometheus({ dataDir: old.dataDir })
    await waitForSamples(next, 'up', 2)
    await shipOnce(next.api, store, { dataDir: old.dataDir })
    await expectNothingIn(store, lostAtMs)
    // What it has itself needs nothing of that.
    const alone = await operationsOn(next.api, store).restore(join(await temporaryDirectory('target'), 'data'), { start: false, dryRun: true })
    expect(alone.plan.recoveryPoint).toBeNull()
  })

  it('is not taken for that on another host, either', async () => {
    const { store, lostAtMs } = await shippedAndLost()
    const next = await startTestPrometheus()
    await waitForSamples(next, 'up', 2)
    const report = await shipOnce(next.api, store, { dataDir: next.dataDir, request: { adopt: true } })
    expect(report.repositories).toMatchObject([{ gaps: [{ reason: expect.stringContaining('another server') }] }])
    await expectNothingIn(store, lostAtMs)
  })
})

async function expectNothingIn(store: ReturnType<typeof createFileStore>, atMs: number): Promise<void> {
  const { instances } = await list({ repositories: [{ name: 'primary', store }], signal: new AbortController().signal }, { repositories: [] })
  const [{ recoverable, gaps } = { recoverable: [], gaps: [] }] = instances
  expect(gaps).toHaveLength(1)
  for (const { from, to } of recoverable) expect(Date.parse(from) > atMs || Date.parse(to) < atMs).toBe(true)
  const refused = (await rejectionOf(operationsOn((await startTestPrometheus({ scrapeItself: false })).api, store).restore(join(await temporaryDirectory('target'), 'data'), { start: false, at: { kind: 'time', ms: atMs } }))) as PromDrError
  expect(refused.code).toBe('MOMENT_UNREACHABLE')
}
