import { join } from 'node:path'
import { noProgress } from '../../src/domain/progress.ts'
import { type ReplayBase, type WalReplay, chooseReplay, replayBoundMs } from '../../src/domain/wal-plan.ts'
import { comparePositions } from '../../src/domain/wal-stream.ts'
import { writeReplay } from '../../src/operations/restore/restore-wal.ts'
import { type ReadStream, readStreams } from '../../src/operations/wal-streams.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { listWalDirectory } from '../../src/tsdb/wal/wal-directory.ts'
import { temporaryDirectory } from './cleanup.ts'
import type { History, SimulatedWal } from './simulated-wal.ts'
import type { Logged, LoggedSample } from './simulated-head.ts'
import { readLog } from './wal-model.ts'

/** A recovery point of a simulated server. */
export interface SimulatedBase extends ReplayBase {
  history: History
  /** How much of the history there was. */
  logged: number
}

export function baseOf(wal: SimulatedWal, made: { id: string; createdAt: number }): SimulatedBase {
  const { history, blocks } = wal.state
  return { ...made, blocks: blocks.map(({ maxTime }) => ({ inOrder: true, maxTime })), history, logged: history.logged.length }
}

/**
 * Replays the log onto a recovery point as `restore --at latest` does and holds it against what was logged: everything under the series
 * it was logged for, and nothing missing that no gap names. False when the log does not continue the recovery point.
 * @throws Error naming what is wrong
 */
export async function checkReplay(wal: SimulatedWal, store: ObjectStore, base: SimulatedBase): Promise<boolean> {
  const replayed = await replayOf(wal, store, base)
  if (replayed === undefined) return false
  const { streams, replay, found } = replayed
  const newest = [...streams].sort((a, b) => b.generation.startedAt - a.generation.startedAt).find(({ wal: pieces }) => pieces.length > 0)
  const whole = newest?.generation.id === replay.generation
  if (!whole && replay.stoppedBy !== 'gap') throw new Error(`a replay onto ${base.id} ends before the newest generation, and says that it stopped by ${replay.stoppedBy}`)
  // An older generation may be of a copy that has been put away since.
  const histories = whole ? [wal.state.history].filter((history) => isAncestor(base, history)) : wal.histories
  const bound = replayBoundMs(base.blocks) ?? Number.NEGATIVE_INFINITY
  const fromBound = new Map([...found].flatMap((bits) => wal.samples.get(bits) ?? []).filter(({ timestampMs }) => timestampMs >= bound).map((sample) => [sample.valueBits, sample] as const))
  const errors = histories.map((history) => {
    const isReached = ({ segment, end }: Logged) => whole || (replay.stop !== undefined && comparePositions({ segment, offset: end }, replay.stop) <= 0)
    const expected = new Map(history.logged.filter(isReached).flatMap(({ samples }) => samples.filter(({ timestampMs }) => timestampMs >= bound).map((sample) => [sample.valueBits, sample] as const)))
    const extra = [...fromBound.values()].find(({ valueBits }) => !expected.has(valueBits))
    const missing = [...expected.values()].find(({ valueBits, timestampMs }) => !fromBound.has(valueBits) && !isInGap(streams, timestampMs))
    return extra !== undefined ? `has sample ${textOf(extra)}, which is not of this history` : missing !== undefined ? `has not sample ${textOf(missing)}, and no gap says so` : undefined
  })
  if (errors.length > 0 && errors.every((error) => error !== undefined)) throw new Error(`a replay of ${replay.generation} onto ${base.id} (bound ${bound}, checkpoint ${replay.checkpoint?.segment} of ${replay.checkpoint?.bound}) ${errors.join('; ')}`)
  return true
}

/**
 * The values of the samples that a replay of the log onto a recovery point gives; undefined when it does not continue that.
 * @throws Error for one that came back under another series or time than its own; DAMAGED and others as a restore does
 */
export async function replayOf(wal: SimulatedWal, store: ObjectStore, base: SimulatedBase): Promise<{ streams: ReadStream[]; replay: WalReplay; found: Set<bigint> } | undefined> {
  const { streams } = await readStreams([{ name: 'primary', store }], { instance: 'prom-a' })
  const replay = chooseReplay([base], streams, { atMs: 'latest' })
  if (replay === undefined) return undefined
  const staging = join(await temporaryDirectory('replay'), 'data')
  await writeReplay({ store, instance: 'prom-a', replay, baseMs: base.createdAt, atMs: undefined, slackMs: 0, includeDeletes: false, staging, progress: noProgress, signal: new AbortController().signal })
  return { streams, replay, found: await readSamples(staging, wal) }
}

/** The values of the samples in a log, each under the series and time that it was logged for. */
async function readSamples(staging: string, wal: SimulatedWal): Promise<Set<bigint>> {
  const { segments } = await listWalDirectory(join(staging, 'wal'), 'wal')
  const { records } = await readLog(segments)
  const names = new Map<number, string>()
  const found = new Set<bigint>()
  for (const { record } of records) {
    if (record.type === 'series') {
      for (const { ref, labels } of record.series) {
        const name = labels[0]?.[1] ?? ''
        if (names.has(ref) && names.get(ref) !== name) throw new Error(`ref ${ref} is ${names.get(ref)}, and ${name}`)
        names.set(ref, name)
      }
    } else if (record.type === 'samples') {
      for (const { ref, timestampMs, valueBits } of record.samples) {
        const logged = wal.samples.get(valueBits)
        // Without a declaration the server drops it.
        if (!names.has(ref)) continue
        if (logged?.name !== names.get(ref) || logged?.timestampMs !== timestampMs) throw new Error(`sample ${valueBits} is of ${logged?.name} at ${logged?.timestampMs}, and came back under ${names.get(ref)} at ${timestampMs}`)
        found.add(valueBits)
      }
    } else if (record.type === 'tombstones') {
      for (const { ref, maxt } of record.tombstones) {
        const name = wal.deletions.get(Number(maxt))
        if (names.has(ref) && name !== names.get(ref)) throw new Error(`the deletion of ${name} up to ${maxt} came back under ${names.get(ref)}`)
      }
    }
  }
  return found
}

function textOf({ name, timestampMs, valueBits }: LoggedSample): string {
  return `${valueBits} of ${name} at ${timestampMs}`
}

/** Whether all that there was when the recovery point was made is still in the history. */
function isAncestor(base: SimulatedBase, history: History): boolean {
  let logged = Number.POSITIVE_INFINITY
  for (let one: History | undefined = history; one !== undefined; one = one.parent?.history) {
    if (one === base.history) return base.logged <= logged
    logged = Math.min(logged, one.parent?.logged ?? 0)
  }
  return false
}

function isInGap(streams: readonly ReadStream[], timestampMs: number): boolean {
  return streams.some(({ generation: { gap } }) => gap !== null && timestampMs >= (gap.from ?? Number.NEGATIVE_INFINITY) && timestampMs <= gap.to)
}
