import { PromDrError, messageOf } from '../../errors.ts'
import type { Metric, MetricsFile } from '../../integrations/node-exporter/metrics-file.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'

export interface MetricsWriterContext {
  metricsFile?: MetricsFile | undefined
  clock: Pick<Clock, 'sleep'>
  logger: Logger
}

const closingMs = 5000

/**
 * Writes the metrics beside the shipping, which never waits for it: one write at a time, and the newest state after it. What goes wrong is
 * logged once, until it works again.
 */
export class MetricsWriter {
  readonly #context: MetricsWriterContext
  readonly #metrics: () => readonly Metric[] | undefined
  #writing: Promise<void> | undefined
  #stale = false
  #failing = false

  /** `metrics` gives the present state; undefined while the file is another's. */
  constructor(context: MetricsWriterContext, metrics: () => readonly Metric[] | undefined) {
    this.#context = context
    this.#metrics = metrics
  }

  /** There is something new. */
  notice(): void {
    if (this.#context.metricsFile === undefined) return
    this.#stale = true
    this.#writing ??= this.#write(this.#context.metricsFile)
  }

  /** Also where nothing is new, so that an old file tells of a process that is gone. Goes on until the signal; rejects with its reason. */
  async writeAgainAndAgain(intervalMs: number, signal: AbortSignal): Promise<never> {
    for (;;) {
      await this.#context.clock.sleep(intervalMs, signal)
      this.notice()
    }
  }

  /** The last state; resolves when it is written or could not be, and after five seconds of a file system that hangs. */
  async close(): Promise<void> {
    this.notice()
    const over = new AbortController()
    const { clock } = this.#context
    await Promise.race([this.#writing, clock.sleep(closingMs, over.signal).catch(() => undefined)])
    over.abort()
  }

  async #write(file: MetricsFile): Promise<void> {
    while (this.#stale) {
      this.#stale = false
      await this.#writeOnce(file)
    }
    this.#writing = undefined
  }

  /** Whatever it is that fails here, a log that is not shipped would be worse. */
  async #writeOnce(file: MetricsFile): Promise<void> {
    const { logger } = this.#context
    try {
      const metrics = this.#metrics()
      if (metrics === undefined) return
      await file.write(metrics)
      if (this.#failing) logger.info({ path: file.path }, 'metrics are written again')
      this.#failing = false
    } catch (error) {
      if (!this.#failing) logger.error({ path: file.path, code: error instanceof PromDrError ? error.code : 'INTERNAL', error: messageOf(error) }, 'metrics could not be written; shipping goes on')
      this.#failing = true
    }
  }
}
