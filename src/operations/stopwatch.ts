import type { Clock } from '../system/clock.ts'

/** Measures the stages of a run, ms. */
export class Stopwatch {
  readonly stages: { name: string; durationMs: number }[] = []
  readonly #clock: Clock
  readonly #startMs: number

  /** `sinceMs`: of the clock's monotonic time; default is now. */
  constructor(clock: Clock, sinceMs: number = clock.monotonicMs()) {
    this.#clock = clock
    this.#startMs = sinceMs
  }

  /** Runs a stage; it is recorded also when it fails. */
  async time<T>(name: string, stage: () => Promise<T>): Promise<T> {
    const startMs = this.#clock.monotonicMs()
    try {
      return await stage()
    } finally {
      this.stages.push({ name, durationMs: Math.round(this.#clock.monotonicMs() - startMs) })
    }
  }

  totalMs(): number {
    return Math.round(this.#clock.monotonicMs() - this.#startMs)
  }
}
