import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { KnownAnswers } from '../../domain/known-answers.ts'
import type { Source } from '../../domain/recovery-point.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import { cloneDataDirectory, removeClone } from '../../tsdb/clone-data-directory.ts'
import { ownNamePrefix } from '../../tsdb/data-directory.ts'
import { type Ownership, handOver } from '../../tsdb/restore-directory.ts'
import { askKnownAnswers } from './known-answers.ts'
import type { Stopwatch } from '../stopwatch.ts'
import type { AnswersReport } from '../verify/verify-report.ts'

/** A server that only answers, on loopback, without scraping or alerting. */
export interface AnsweringServer {
  api: PrometheusApi
  stop(): Promise<void>
}

/** Starts one on a directory that it may write to. */
export type StartServer = (dataDir: string, options: { externalLabels: Record<string, string>; flags: string[]; logFile: string; signal: AbortSignal }) => Promise<AnsweringServer>

export interface AnswerCheckRequest {
  dataDir: string
  recoveryPoint: string
  source: Source
  answers: KnownAnswers
  owner: Ownership
  startServer: StartServer
  watch: Stopwatch
  signal: AbortSignal
}

export interface AnswerCheck {
  report: AnswersReport
  /** True when at least one answer was given and the first one asked was right. */
  firstCorrect: boolean
  /** Milliseconds of the stopwatch at the first correct answer. */
  firstCorrectAtMs: number
}

/**
 * Starts a throwaway server on a clone of the data directory and asks it what the source answered. The directory itself
 * is not touched; clone and server are gone when this ends.
 */
export async function checkAnswers(request: AnswerCheckRequest): Promise<AnswerCheck> {
  const { dataDir, answers, watch, signal } = request
  const clone = join(dataDir, `${ownNamePrefix}clone-${randomBytes(4).toString('hex')}`)
  const context = { recoveryPoint: request.recoveryPoint, externalLabels: request.source.externalLabels, signal }
  try {
    const server = await watch.time('start server', async () => {
      await cloneDataDirectory(dataDir, clone)
      await handOver(clone, request.owner)
      return request.startServer(clone, { externalLabels: request.source.externalLabels, flags: sameAnswerFlags(request.source), logFile: join(clone, 'prometheus.log'), signal })
    })
    try {
      const first = await watch.time('first answer', () => askKnownAnswers(server.api, firstOf(answers), context))
      const firstCorrectAtMs = watch.totalMs()
      const report = await watch.time('all known answers', () => askKnownAnswers(server.api, answers, context))
      return { report, firstCorrect: first.equal && first.series + first.queries > 0, firstCorrectAtMs }
    } finally {
      await server.stop()
    }
  } finally {
    await removeClone(clone)
  }
}

/** Flags of the source that change what a query answers. */
function sameAnswerFlags(source: Source): string[] {
  const lookback = source.flags['query.lookback-delta']
  return lookback === undefined || !/^[0-9a-z]+$/.test(lookback) ? [] : [`--query.lookback-delta=${lookback}`]
}

function firstOf(answers: KnownAnswers): KnownAnswers {
  const series = answers.series.slice(0, 1)
  return { ...answers, series, queries: series.length === 0 ? answers.queries.slice(0, 1) : [] }
}
