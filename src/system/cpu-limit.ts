import type { Clock } from './clock.ts'

export interface CpuLimit {
  /** To be called between pieces of work: waits until the CPU time used on average is within the limit again. */
  rest(signal?: AbortSignal): Promise<void>
}

/** Work that was little so far may use this much at once, ms of CPU time. */
const burstMs = 1000
/** So that a jump of the clock or of the figures never stops anything for long. */
const longestRestMs = 10_000

/** @param options `cores`: how many cores' time may be used on average, 0.5 is half of one; `usedMs`: CPU time of this process so far */
export function createCpuLimit(options: { cores: number; clock: Pick<Clock, 'monotonicMs' | 'sleep'>; usedMs?: () => number }): CpuLimit {
  const { cores, clock, usedMs = usedByThisProcess } = options
  let leftMs = burstMs
  let atMs = clock.monotonicMs()
  let used = usedMs()
  return {
    async rest(signal) {
      const [nowMs, nowUsed] = [clock.monotonicMs(), usedMs()]
      leftMs = Math.min(burstMs, leftMs + (nowMs - atMs) * cores) - (nowUsed - used)
      atMs = nowMs
      used = nowUsed
      if (leftMs < 0) await clock.sleep(Math.min(longestRestMs, -leftMs / cores), signal)
    },
  }
}

/** All threads, ms. */
function usedByThisProcess(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
