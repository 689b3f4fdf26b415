import type { Clock } from '../../system/clock.ts'

/** A wait that can be cut short. */
export class WakeUp {
  #waiting: AbortController | undefined

  ring(): void {
    this.#waiting?.abort()
  }

  /** Resolves after `durationMs` or at the ring; rejects with the signal's reason. */
  async wait(durationMs: number, clock: Pick<Clock, 'sleep'>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const waiting = new AbortController()
    this.#waiting = waiting
    try {
      await clock.sleep(durationMs, AbortSignal.any([signal, waiting.signal]))
    } catch (error) {
      if (!waiting.signal.aborted || signal.aborted) throw error
    } finally {
      this.#waiting = undefined
    }
  }
}
