import { hasCode, messageOf, PromDrError } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { interrupted } from './interruption.ts'

export interface RetryOptions {
  clock: Clock
  logger: Logger
  /** How long an outage is waited out, by one call and by all calls of the store together. Default: 2 minutes. */
  budgetMs?: number
  /** 0 to 1; for tests. */
  random?: () => number
}

/** The tries of one call. */
export interface Tries {
  /** Waits before the next try; throws the error itself when there is to be none. */
  waitAfter(error: unknown, signal?: AbortSignal): Promise<void>
  /** The last try came further than the one before: a new outage begins, a bounded number of times. */
  progressed(): void
  succeeded(): void
}

const defaultBudgetMs = 2 * 60_000
const firstDelayMs = 250
const longestDelayMs = 20_000
const mostFreshStarts = 20

/**
 * Full-jitter exponential backoff within a time budget. The outage is shared: while the store is down, calls that
 * start later get what is left of the budget, so that a dead store costs it once and not once a call.
 */
export function createRetrySchedule(store: string, options: RetryOptions): { begin(): Tries } {
  const { clock, logger } = options
  const budgetMs = options.budgetMs ?? defaultBudgetMs
  const random = options.random ?? Math.random
  let downSinceMs: number | undefined

  function begin(): Tries {
    let firstFailureMs: number | undefined
    let failures = 0
    let freshStarts = 0

    return {
      async waitAfter(error, signal) {
        if (!hasCode(error, 'STORE_UNREACHABLE')) throw error
        if (signal?.aborted) throw interrupted(signal)
        const nowMs = clock.monotonicMs()
        downSinceMs ??= nowMs
        firstFailureMs ??= nowMs
        const delayMs = random() * Math.min(longestDelayMs, firstDelayMs * 2 ** failures++)
        if (nowMs + delayMs - Math.min(downSinceMs, firstFailureMs) > budgetMs) throw gaveUp(error, nowMs - firstFailureMs, failures)
        logger.warn({ store, reason: messageOf(error), delayMs: Math.round(delayMs), failures }, 'store call failed, will try again')
        try {
          await clock.sleep(delayMs, signal)
        } catch (reason) {
          if (signal?.aborted) throw interrupted(signal)
          throw reason
        }
      },
      progressed() {
        downSinceMs = undefined
        if (firstFailureMs === undefined || ++freshStarts > mostFreshStarts) return
        firstFailureMs = undefined
        failures = 0
      },
      succeeded() {
        downSinceMs = undefined
      },
    }
  }

  return { begin }
}

function gaveUp(error: PromDrError, elapsedMs: number, failures: number): PromDrError {
  if (failures === 1) return error
  const options = { cause: error, ...(error.hint !== undefined && { hint: error.hint }), ...(error.details !== undefined && { details: error.details }) }
  return new PromDrError('STORE_UNREACHABLE', `${error.message} (gave up after ${failures} tries in ${Math.round(elapsedMs / 1000)} s)`, options)
}
