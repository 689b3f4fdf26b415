import { hasCode } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import type { Clock } from '../../system/clock.ts'
import { longestDelayMs } from '../backup/backup-source.ts'

interface Asking {
  prometheus: Pick<PrometheusApi, 'runtimeInfo' | 'config'>
  clock: Clock
  signal: AbortSignal
}

/** How often the server is asked whether it has read its configuration again, and how long an answer may keep a sign of life waiting, ms. */
const askEveryMs = 30_000
const patienceMs = 2000

/**
 * How long after its time a sample may still be logged: what the server's configuration says, and that may change while the log is shipped.
 * A recovery point or a generation from before out-of-order ingestion was turned on knows nothing of it.
 */
export class SampleDelay {
  #longestMs: number | undefined
  /** What it was read from. */
  #configuration: string | undefined
  #askedAtMs = Number.NEGATIVE_INFINITY
  #asking = Promise.resolve()

  /** The longest that was seen so far, ms; undefined while the server never answered. */
  async longestMs(context: Asking): Promise<number | undefined> {
    const nowMs = context.clock.monotonicMs()
    if (nowMs - this.#askedAtMs >= askEveryMs) {
      this.#askedAtMs = nowMs
      this.#asking = this.#ask(context)
    }
    await this.#asking
    return this.#longestMs
  }

  async #ask({ prometheus, signal }: Asking): Promise<void> {
    const brief = { signal, timeoutMs: patienceMs }
    try {
      const { lastConfigTime, startTime } = await prometheus.runtimeInfo(brief)
      const configuration = `${startTime.getTime()} ${lastConfigTime.getTime()}`
      if (configuration === this.#configuration) return
      const { yaml } = await prometheus.config(brief)
      this.#longestMs = Math.max(this.#longestMs ?? 0, longestDelayMs(yaml))
      this.#configuration = configuration
    } catch (error) {
      // A log is shipped while its server is down, too.
      if (!signal.aborted && !hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY', 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_BAD_RESPONSE')) throw error
    }
  }
}
