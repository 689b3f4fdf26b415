import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PromDrError } from '../../src/errors.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { launcher, start } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { type KillOutcome, killRound } from '../support/kill-round.ts'
import { type TestPrometheus, missingPrograms, remoteWrite, waitFor } from '../support/prometheus.ts'
import { createTestBucket } from '../support/s3-server.ts'

const mostLostMs = 4000
/** A block every ten seconds, and within a minute a head compaction with its checkpoint. */
const quickBlocks = { minBlockDuration: '10s', flags: ['--storage.tsdb.max-block-duration=90s'] }
const rounds = Number(process.env['PROM_DR_TEST_ROUNDS'] ?? 10)
const seed = Number(process.env['PROM_DR_TEST_SEED'] ?? Date.now() % 100_000)

async function folder(): Promise<ObjectStore> {
  return createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') })
}

describe.skipIf(missingPrograms('prometheus'))(`a server that is killed at any moment (PROM_DR_TEST_SEED=${seed})`, () => {
  it('comes back up to four seconds before, ten times, across head compactions and checkpoints', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const outcomes: KillOutcome[] = []
    for (let round = 0; round < rounds; round += 1) {
      const runMs = 5000 + (((seed + round) * 7919) % 75_000)
      const store = round % 2 === 0 ? await createS3Store({ ...server, prefix: `round-${round}/` }) : await folder()
      const outcome = await killRound({ store, runMs, server: quickBlocks })
      expect(outcome.lostMs, `round ${round}, after ${runMs} ms`).toBeLessThanOrEqual(mostLostMs)
      outcomes.push(outcome)
    }
    expect(outcomes.filter(({ checkpoints }) => checkpoints).length).toBeGreaterThan(0)
  }, 1_800_000)

  it('comes back although the shipper was killed and started again, and killed with it', async () => {
    const root = join(await temporaryDirectory('repository'), 'repository')
    const outcome = await killRound({
      store: createFileStore({ root }), runMs: 20_000,
      ship: async (server) => {
        const cwd = await temporaryDirectory('shipper')
        await writeFile(join(cwd, 'prom-dr.yml'), JSON.stringify({ instance: 'prom-a', prometheus: { url: server.url, dataDir: server.dataDir }, repositories: [{ name: 'primary', url: root }], ship: { interval: '2s' } }))
        const run = () => start([process.execPath, launcher, 'ship'], { cwd })
        let shipper = run()
        const restart = setTimeout(() => {
          shipper.kill('SIGKILL')
          shipper = run()
        }, 8000)
        return {
          stop: async () => {
            clearTimeout(restart)
            try {
              shipper.kill('SIGKILL')
            } catch (error) {
              if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
            }
            await shipper.ended
          },
        }
      },
    })
    expect(outcome.lostMs).toBeLessThanOrEqual(mostLostMs)
    expect(outcome.restoredSamples).toBeGreaterThan(15)
  })

  it('comes back whole after its store was away across head compactions', async () => {
    const store = await folder()
    const sometimes = awayStore(store)
    const outcome = await killRound({
      store: sometimes.store, restoreFrom: store, runMs: 75_000, server: quickBlocks,
      meanwhile: async (server) => {
        await pass(server, 5000)
        sometimes.setAway(true)
        await pass(server, 50_000)
        expect(sometimes.refused()).toBeGreaterThan(3)
        sometimes.setAway(false)
      },
    })
    expect(outcome.checkpoints).toBe(true)
    expect(outcome.lostMs).toBeLessThanOrEqual(mostLostMs)
  })

  it('comes back with the samples that came out of order', async () => {
    const store = await folder()
    const late: number[] = []
    const outcome = await killRound({
      store, runMs: 45_000,
      server: { ...quickBlocks, config: { storage: { tsdb: { out_of_order_time_window: '30m' } } } },
      expectLate: late,
      meanwhile: async (server) => {
        const startMs = Date.now()
        await remoteWrite(server.url, [{ labels: { __name__: 'late' }, samples: [{ timestampMs: startMs, value: -1 }] }])
        for (let at = 1; at <= 20; at += 1) {
          await pass(server, 2000)
          await remoteWrite(server.url, [{ labels: { __name__: 'late' }, samples: [{ timestampMs: startMs - at * 20_000, value: at - 1 }] }])
          // It stays in the head, as a series that is scraped does.
          await remoteWrite(server.url, [{ labels: { __name__: 'late' }, samples: [{ timestampMs: Date.now(), value: -1 }] }])
          late.push(startMs - at * 20_000)
        }
      },
    })
    expect(outcome.lostMs).toBeLessThanOrEqual(mostLostMs)
  })
})

/** By the server's own clock, which has to go on meanwhile. */
async function pass(server: TestPrometheus, durationMs: number): Promise<void> {
  const untilMs = Date.now() + durationMs
  await waitFor(async () => Number(JSON.parse(await server.api.query('max(timestamp(up))', Date.now())).result[0]?.value[1] ?? 0) * 1000 >= untilMs, { timeoutMs: durationMs + 20_000, intervalMs: 500, what: `${durationMs} ms of scrapes` })
}

function awayStore(store: ObjectStore): { store: ObjectStore; setAway(is: boolean): void; refused(): number } {
  let away = false
  let refused = 0
  const proxy = new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(target, name) as unknown
      if (typeof value !== 'function' || !away) return typeof value === 'function' ? value.bind(target) : value
      return () => {
        refused += 1
        throw new PromDrError('STORE_UNREACHABLE', 'the store is away')
      }
    },
  })
  return { store: proxy, setAway: (is) => void (away = is), refused: () => refused }
}
