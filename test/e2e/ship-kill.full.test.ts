import { describe, expect, it } from 'vitest'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { startS3FaultProxy } from '../fakes/s3-fault-proxy.ts'
import { atEndOfFile } from '../support/cleanup.ts'
import { type KillRound, killRound } from '../support/kill-round.ts'
import { momentsBetween } from '../support/moments.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { type TestBucket, createTestBucket } from '../support/s3-server.ts'
import { type ShipProcess, startShipProcess } from '../support/ship-process.ts'
import { fastBlocks } from '../support/shipped-server.ts'
import { compressionFlags, compressionsOf, testedVersion } from '../support/wal-traffic.ts'

const mostLostMs = 4000
/** A block every ten seconds, and within a minute a head compaction with its checkpoint. */
const quickBlocks = { minBlockDuration: '10s', flags: fastBlocks }
const outOfOrder = { config: { storage: { tsdb: { out_of_order_time_window: '30m' } } } }
const bestCompression = missingPrograms('prometheus') ? 'snappy' : compressionsOf(await testedVersion()).at(-1) ?? 'snappy'
const rounds = Number(process.env['PROM_DR_TEST_ROUNDS'] ?? 10)
const seed = Number(process.env['PROM_DR_TEST_SEED'] ?? Date.now() % 100_000)

interface Kind {
  title: string
  /** Of the run, ms, at least and at most. */
  runMs: [number, number]
  compacts?: true
  options?: Omit<Partial<KillRound<ShipProcess>>, 'meanwhile'>
  /** `away` takes the store away and brings it back; `random` is between 0 and 1. */
  meanwhile?: (scene: Parameters<NonNullable<KillRound<ShipProcess>['meanwhile']>>[0], beside: { setAway(is: boolean): void; random: number }) => Promise<void>
}

const kinds: Kind[] = [
  { title: 'after some seconds', runMs: [4000, 20_000] },
  { title: 'after head compactions and their checkpoints', runMs: [45_000, 75_000], compacts: true, options: { server: { ...quickBlocks, flags: [...fastBlocks, ...compressionFlags(bestCompression)] } } },
  {
    title: 'while the shipper is killed and started again', runMs: [15_000, 30_000],
    meanwhile: async ({ pass, shipper }, { random }) => {
      await pass(4000 + 6000 * random)
      await shipper.replace()
      await pass(5000)
      await shipper.replace()
    },
  },
  {
    title: 'although its store was away meanwhile, across head compactions', runMs: [60_000, 70_000], compacts: true,
    meanwhile: async ({ pass }, { setAway }) => {
      await pass(5000)
      setAway(true)
      await pass(50_000)
      setAway(false)
    },
  },
  { title: 'with samples out of order, across head compactions', runMs: [62_000, 75_000], compacts: true, options: { late: true, server: { ...quickBlocks, ...outOfOrder } } },
  { title: 'and the shipper with it', runMs: [5000, 25_000], options: { shipperFirst: true } },
  { title: 'with a log that is not compressed', runMs: [4000, 20_000], options: { server: { flags: ['--no-storage.tsdb.wal-compression'] } } },
  {
    title: 'between backups, after head compactions', runMs: [62_000, 75_000], compacts: true,
    meanwhile: async ({ pass, backup }, { random }) => {
      await pass(20_000 + 10_000 * random)
      await backup()
      await pass(12_000)
      await backup()
    },
  },
  {
    title: 'for the second time', runMs: [15_000, 30_000],
    meanwhile: async ({ pass, restartServer }, { random }) => {
      await pass(3000 + 5000 * random)
      await restartServer()
    },
  },
  {
    title: 'after everything at once', runMs: [70_000, 80_000], compacts: true, options: { late: true, shipperFirst: true, server: { ...quickBlocks, ...outOfOrder } },
    meanwhile: async ({ pass, shipper, backup, restartServer }, { setAway, random }) => {
      await pass(3000 + 5000 * random)
      setAway(true)
      await pass(15_000)
      await shipper.replace()
      setAway(false)
      await pass(4000)
      await restartServer()
      await backup()
    },
  },
]

describe.skipIf(missingPrograms('prometheus'))(`a server that is shipped to a bucket every two seconds and killed with its disk (PROM_DR_TEST_SEED=${seed})`, () => {
  it.for(Array.from({ length: rounds }, (_, round) => ({ round: round + 1, ...kinds[round % kinds.length] as Kind })))('comes back up to four seconds before, killed $title (round $round)', async ({ round, ...kind }, context) => {
    const bucket = await createTestBucket(context)
    const [runMs, percent] = momentsBetween(0, 1_000_000, { count: 2, seed: Math.imul(seed * 100 + round, 2_654_435_761) >>> 0 }).map((drawn, at) => (at === 0 ? kind.runMs[0] + (drawn / 1e6) * (kind.runMs[1] - kind.runMs[0]) : drawn / 1e6)) as [number, number]
    const proxy = await startS3FaultProxy(bucket.endpoint)
    atEndOfFile(() => proxy.close())
    const setAway = (is: boolean) => proxy.inject((_, count) => (is ? { kind: count % 5 === 0 ? 'hang' : 'close' } : undefined))
    const { openUploads: _, ...server } = bucket
    const store = await createS3Store({ ...server, prefix: 'dr/' })
    const outcome = await killRound<ShipProcess>({
      store, runMs, ...(kind.compacts && { server: quickBlocks, untilCheckpoint: true }), ...kind.options,
      ship: (shipped) => startShipProcess(shipped, throughProxy(bucket, proxy.endpoint)),
      meanwhile: async (scene) => {
        await kind.meanwhile?.(scene, { setAway, random: percent })
        // A shipper that starts, or whose store comes back, needs its time.
        if (kind.meanwhile !== undefined) await caughtUp(store)
      },
    })
    await store.close()
    console.log(`round ${round}: ran ${(runMs / 1000).toFixed(1)} s, lost ${outcome.lostMs} ms, ${outcome.restoredSamples} samples a series, ${outcome.lateSamples} out of order, checkpoints ${outcome.checkpoints}, not stored by the server itself ${outcome.neverStored}`)
    expect(outcome.lostMs).toBeLessThanOrEqual(mostLostMs)
    expect(outcome.report.stoppedBy).toBe('end')
    expect(outcome.checkpoints).toBe(kind.compacts === true)
    expect(outcome.restoredSamples).toBeGreaterThan(runMs / 2000)
    expect(outcome.lateSamples > 0).toBe(kind.options?.late === true)
    if (kind.title.includes('store was away')) expect(proxy.injected).toBeGreaterThan(5)
  })
})

function throughProxy({ bucket, region, accessKeyId, secretAccessKey }: TestBucket, endpoint: string) {
  return { url: `s3://${bucket}/dr`, s3: { region, endpoint, forcePathStyle: true, accessKeyId, secretAccessKey } }
}

/** What was logged while the store was away is there. */
async function caughtUp(store: Awaited<ReturnType<typeof createS3Store>>): Promise<void> {
  const dueMs = Date.now()
  await waitFor(async () => {
    for await (const { key } of store.list('instances/prom-a/wal/')) if (Number(/-(?:\d{13}|none)-(\d{13})-/.exec(key)?.[1] ?? 0) > dueMs) return true
    return false
  }, { timeoutMs: 60_000, intervalMs: 500, what: 'the shipper to catch up' })
}
