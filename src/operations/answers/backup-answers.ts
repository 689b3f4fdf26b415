import { randomUUID } from 'node:crypto'
import { answerWindows } from '../../domain/answer-windows.ts'
import { type KnownAnswers, noKnownAnswers } from '../../domain/known-answers.ts'
import { seededRandom } from '../../domain/seeded-choice.ts'
import { messageOf } from '../../errors.ts'
import type { TsdbStatus } from '../../integrations/prometheus/prometheus-api.ts'
import { writeBehindLogBytes } from '../../tsdb/write-behind-log.ts'
import type { BackupContext } from '../backup/backup-context.ts'
import type { BackupRequest } from '../backup/backup-report.ts'
import type { ServerFacts } from '../backup/backup-source.ts'
import { type CollectedAnswers, collectKnownAnswers, confirmKnownAnswers, isOutOfReach } from './known-answers.ts'
import { readLiveBlockRanges } from '../backup/snapshot-block.ts'

/** An out-of-order sample leaves memory for a block when the head is next compacted: every half of a block's span later at most. */
const spansUntilCompacted = 3

const nothing: CollectedAnswers = { answers: noKnownAnswers, problems: [] }

/** Chooses where to look by what the server has now, and reads the known answers there. */
export async function readKnownAnswers(context: BackupContext, { facts, head, request }: { facts: ServerFacts; head: Pick<TsdbStatus, 'headMinTime' | 'headMaxTime'>; request: BackupRequest }): Promise<CollectedAnswers> {
  const { series, samplesPerSeries, queries } = context.settings.knownAnswers
  if (series === 0 && queries.length === 0) return nothing
  const blocks = await readLiveBlockRanges(facts.dataDir)
  const newestBlockMs = Math.max(...blocks.map((block) => block.maxTime - 1), Number.NEGATIVE_INFINITY)
  const newestMs = request.head === 'never' ? newestBlockMs : Math.max(newestBlockMs, head.headMaxTime ?? Number.NEGATIVE_INFINITY)
  if (!Number.isFinite(newestMs)) return nothing
  const oldestMs = Math.min(...blocks.map((block) => block.minTime), head.headMinTime ?? Number.POSITIVE_INFINITY)
  const latestEndMs = Math.min(newestMs, context.clock.now().getTime()) - facts.scrapeTimeoutMs - (await volatileMs(facts))
  const seed = randomUUID()
  const windows = answerWindows({ blocks, oldestMs, latestEndMs }, { series, windowMs: samplesPerSeries * facts.scrapeIntervalMs, random: seededRandom(seed) })
  const collect = (signal: AbortSignal) => collectKnownAnswers(context.prometheus, { seed, windows, samplesPerSeries, queries, queryAtMs: latestEndMs, externalLabels: facts.source.externalLabels, signal })
  return unlessOutOfReach(context.signal, collect, nothing.answers)
}

/** As `confirmKnownAnswers`; there are none, and a problem, where the server cannot be asked any more. */
export function confirmOrDrop({ prometheus, signal }: Pick<BackupContext, 'prometheus' | 'signal'>, answers: KnownAnswers, context: { externalLabels: Record<string, string>; coveredUntilMs: number }): Promise<CollectedAnswers> {
  const confirm = async (signal: AbortSignal) => ({ answers: await confirmKnownAnswers(prometheus, answers, { ...context, signal }), problems: [] })
  return unlessOutOfReach(signal, confirm, { ...noKnownAnswers, dropped: answers.dropped })
}

/** A server that is too busy to answer can still write a snapshot, and one that went away has perhaps written it: known answers are not what a backup fails for. */
async function unlessOutOfReach(signal: AbortSignal, ask: (signal: AbortSignal) => Promise<CollectedAnswers>, otherwise: KnownAnswers): Promise<CollectedAnswers> {
  const over = new AbortController()
  try {
    return await ask(AbortSignal.any([signal, over.signal]))
  } catch (error) {
    if (!isOutOfReach(error)) throw error
    return { answers: otherwise, problems: [`no known answers: ${messageOf(error)}`] }
  } finally {
    // What was asked beside it.
    over.abort()
  }
}

/** How far back a server may answer with out-of-order samples that are in memory only: no snapshot has them. */
async function volatileMs(facts: ServerFacts): Promise<number> {
  if ((await writeBehindLogBytes(facts.dataDir)) === 0) return 0
  return facts.outOfOrderWindowMs + spansUntilCompacted * facts.minBlockMs
}
