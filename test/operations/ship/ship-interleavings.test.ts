import { createHash } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type WalPiece, belongsTo, chainFrom } from '../../../src/domain/wal-stream.ts'
import { LogGrowth } from '../../../src/operations/ship/log-growth.ts'
import { RepositoryShipper, type RepositoryShipperContext } from '../../../src/operations/ship/repository-shipper.ts'
import { readWal } from '../../../src/repository/wal-compression.ts'
import { listPieces, readCheckpoints, readGenerations } from '../../../src/repository/wal-stream.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { createFaultyStore } from '../../fakes/faulty-store.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { type SimulatedBase, baseOf, checkReplay } from '../../support/simulated-replay.ts'
import { type History, SimulatedWal } from '../../support/simulated-wal.ts'

type Step =
  | { do: 'append'; samples: number }
  | { do: 'appendTorn'; samples: number }
  | { do: 'rotate'; clean: boolean }
  | { do: 'deleteSeries' }
  | { do: 'compact' }
  | { do: 'truncate'; keep: number }
  | { do: 'repair'; segment: number; record: number }
  | { do: 'copy' }
  | { do: 'swap'; inPlace: boolean }
  | { do: 'backup' }
  | { do: 'ship'; shipper: 0 | 1 }
  | { do: 'restart'; shipper: 0 | 1 }
  | { do: 'shipFailing'; shipper: 0 | 1; call: number; at: 'before' | 'after' }

const shipper = fc.constantFrom(0 as const, 1 as const)
const samples = fc.constantFrom(1, 2, 40, 3000)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), samples }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('appendTorn' as const), samples }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('rotate' as const), clean: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ do: 'deleteSeries' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'compact' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'backup' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('truncate' as const), keep: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('repair' as const), segment: fc.nat(5), record: fc.nat(10) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'copy' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('swap' as const), inPlace: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('ship' as const), shipper }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const), shipper }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('shipFailing' as const), shipper, call: fc.integer({ min: 1, max: 6 }), at: fc.constantFrom('before' as const, 'after' as const) }) },
)

const runs = Number(process.env['PROM_DR_TEST_INTERLEAVINGS'] ?? 150)

describe('whatever happens to a log while two shippers follow it', () => {
  it('each stored stream is one true history, the newest reaches the end of the log, and what is replayed of it is whole and under its own series', async () => {
    const seen = { generations: 0, sealed: 0, faults: 0, replays: 0 }
    let nowMs = 1_800_000_000_000
    const now = () => new Date((nowMs += 10))
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const wal = await SimulatedWal.create(join(await temporaryDirectory('interleaving'), 'data'))
      const store = createMemoryStore()
      const shippers: (RepositoryShipper | undefined)[] = [undefined, undefined]
      const growth = { wal: new LogGrowth(), wbl: new LogGrowth() }
      const open = (on: ObjectStore) => RepositoryShipper.open({ ...contextOn(on, wal.dataDir, growth), now }, { newGeneration: false })
      const bases: SimulatedBase[] = []
      const backUp = () => bases.push(baseOf(wal, { id: `base-${bases.length}`, createdAt: now().getTime() }))
      backUp()
      for (const one of steps) {
        if (one.do === 'append' || one.do === 'appendTorn') await wal[one.do](one.samples)
        else if (one.do === 'rotate') await wal.rotate(one.clean)
        else if (one.do === 'deleteSeries' || one.do === 'compact') await wal[one.do]()
        else if (one.do === 'backup') backUp()
        else if (one.do === 'truncate') await wal.truncate(one.keep)
        else if (one.do === 'repair') await wal.repair(one)
        else if (one.do === 'copy') await wal.copy()
        else if (one.do === 'swap') await wal.swap(one.inPlace)
        else if (one.do === 'restart') shippers[one.shipper] = undefined
        else if (one.do === 'ship') {
          shippers[one.shipper] ??= await open(store)
          await shippers[one.shipper]?.pass()
        } else if (one.do === 'shipFailing') {
          const faulty = createFaultyStore(store, [{ verb: 'create', call: one.call, at: one.at }])
          shippers[one.shipper] = undefined
          await open(faulty).then((opened) => opened.pass()).catch((error: unknown) => {
            if (faulty.fired.length === 0) throw error
          })
          seen.faults += faulty.fired.length
        }
        await checkHistories(store, wal.histories)
      }
      backUp()
      await wal.append(1)
      const last = await open(store)
      const { shippedTo, generation } = await last.pass()
      const { segment, end } = wal.last
      expect(shippedTo).toBe(`${String(segment).padStart(8, '0')}:${end}`)
      const newest = (await readGenerations(store, 'prom-a')).find(({ id }) => id === generation)
      const chain = chainFrom(await piecesOf(store, generation), newest?.firstSegment ?? 0)
      expect(chain.position).toEqual({ segment, offset: end })
      // Later segments that a shipper stored which saw what a repair undid, or the other copy of the server, stay apart.
      if (chain.end.kind === 'gap') expect(chain.end).toMatchObject({ at: chain.position, nextSegment: expect.any(Number) })
      if (chain.end.kind === 'gap') expect(steps.some((one) => one.do === 'repair' || one.do === 'swap')).toBe(true)
      await checkHistories(store, wal.histories)
      const replayed = await Promise.all(bases.map((base) => checkReplay(wal, store, base)))
      // A generation that began over newer blocks than those of the copy that took the place of its server leads on from newer recovery points only.
      if (!steps.some((one) => one.do === 'swap')) expect(replayed.at(-1), 'the newest recovery point goes on with the log').toBe(true)
      seen.replays += replayed.filter((is) => is).length - 1
      seen.generations += (await readGenerations(store, 'prom-a')).length
      seen.sealed += [...store.objects.keys()].filter((key) => key.endsWith('.sealed.br')).length
    }), { numRuns: runs, endOnFailure: process.env['PROM_DR_TEST_SHRINK'] !== '1' })
    // A test of interleavings in which nothing met shows nothing.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0)
  }, 600_000)
})

function contextOn(store: ObjectStore, dataDir: string, growth: RepositoryShipperContext['growth']): Omit<RepositoryShipperContext, 'now'> {
  const { signal } = new AbortController()
  return { store, instance: 'prom-a', dataDir, machineId: 'machine-a', partBytes: 64 * 1024, windowMs: 72 * 3_600_000, growth, rest: async () => undefined, onGap: () => undefined, logger: silentLogger, signal, tailSignal: signal }
}

function piecesOf(store: ObjectStore, generation: string): Promise<WalPiece[]> {
  return listPieces(store, 'prom-a', { generation, log: 'wal' })
}

/** Every place that a restore may begin at gives the bytes of one history: whole segments, and a beginning of the last. */
async function checkHistories(store: ObjectStore, histories: readonly History[]): Promise<void> {
  for (const { id, firstSegment } of await readGenerations(store, 'prom-a')) {
    const pieces = await piecesOf(store, id)
    const starts = [{ start: firstSegment, content: undefined, checkpoint: {} }, ...(await readCheckpoints(store, 'prom-a', { generation: id })).map((checkpoint) => ({ start: checkpoint.segment + 1, content: checkpoint.files[0]?.digest, checkpoint }))]
    for (const { start, content, checkpoint } of starts) {
      const chain = chainFrom(pieces, start)
      if (!belongsTo(chain, checkpoint)) continue
      const segments = await readChain(store, chain.pieces)
      const last = [...segments.keys()].at(-1)
      const isOf = ({ segments: written, checkpoints }: History) => (content === undefined || segments.size === 0 || checkpoints.get(start - 1) === content) && [...segments].every(([segment, bytes]) => {
        const whole = written.get(segment)
        return whole !== undefined && (segment === last ? whole.subarray(0, bytes.length) : whole).equals(bytes)
      })
      if (!histories.some(isOf)) throw new Error(`what is stored of generation ${id} from segment ${start} on is no history: ${[...segments].map(([segment, bytes]) => `${segment}: ${bytes.length} bytes`).join(', ')}`)
    }
  }
}

async function readChain(store: ObjectStore, pieces: readonly WalPiece[]): Promise<Map<number, Buffer>> {
  const segments = new Map<number, Buffer>()
  for (const piece of pieces) {
    const chunks: Buffer[] = []
    for await (const chunk of readWal(store, piece.key, { length: piece.end - piece.start })) chunks.push(chunk)
    const bytes = Buffer.concat([segments.get(piece.segment) ?? Buffer.alloc(0), ...chunks])
    if (createHash('sha256').update(bytes).digest('hex') !== piece.digest) throw new Error(`${piece.key} does not follow what is before it`)
    segments.set(piece.segment, bytes)
  }
  return segments
}
