import type { Clock } from '../../src/system/clock.ts'

export interface ManualClock extends Clock {
  /** Every sleep that was asked for, in milliseconds. */
  readonly sleeps: number[]
  advance(durationMs: number): void
}

/** A clock that moves only when told to; a sleep moves it by its length and is over at once. */
export function createManualClock(start = new Date('2026-01-01T00:00:00Z')): ManualClock {
  const sleeps: number[] = []
  let elapsedMs = 0
  return {
    sleeps,
    now: () => new Date(start.getTime() + elapsedMs),
    monotonicMs: () => elapsedMs,
    advance: (durationMs) => void (elapsedMs += durationMs),
    async sleep(durationMs, signal) {
      if (signal?.aborted) throw signal.reason
      sleeps.push(durationMs)
      elapsedMs += durationMs
    },
  }
}
