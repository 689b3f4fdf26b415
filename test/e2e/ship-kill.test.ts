import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { killRound } from '../support/kill-round.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { createTestBucket } from '../support/s3-server.ts'

// How much that is, in seconds, is for the rounds of the long test: a machine that does other work too is slow.
describe.skipIf(missingPrograms('prometheus'))('a server that is shipped every two seconds and killed with its disk', () => {
  it('comes back from a directory up to what its shipper had said to be stored, bit for bit', async () => {
    const { reachedMs, claimedMs, restoredSamples, report } = await killRound({ store: createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') }), runMs: 7300 })
    expect(reachedMs).toBeGreaterThanOrEqual(claimedMs)
    expect(restoredSamples).toBeGreaterThan(4)
    expect(report.stoppedBy).toBe('end')
  })

  it('comes back from a bucket up to what its shipper had said to be stored, bit for bit', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const store = await createS3Store({ ...server, prefix: 'dr/' })
    const { reachedMs, claimedMs, restoredSamples } = await killRound({ store, runMs: 6100 })
    expect(reachedMs).toBeGreaterThanOrEqual(claimedMs)
    expect(restoredSamples).toBeGreaterThan(4)
    await store.close()
  })
})
