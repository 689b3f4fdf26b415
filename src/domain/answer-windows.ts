import { shuffled } from './seeded-choice.ts'

interface Range {
  minTime: number
  maxTime: number
}

/** Both ends included, ms, and how many series to take. */
export interface ChosenWindow {
  startMs: number
  endMs: number
  series: number
}

const blockWindows = 4

/**
 * Where known answers are taken from: half from the end of the history (the head), the rest from up to four blocks that
 * `random` chooses. A window is `windowMs` long; the newest ends at `latestEndMs`, so that no scrape in flight can
 * still change it.
 */
export function answerWindows(history: { blocks: readonly Range[]; oldestMs: number; latestEndMs: number }, request: { series: number; windowMs: number; random: () => number }): ChosenWindow[] {
  const { latestEndMs, oldestMs } = history
  const { series, windowMs, random } = request
  if (series === 0) return []
  const windows: ChosenWindow[] = []
  if (latestEndMs > oldestMs) windows.push({ startMs: Math.max(oldestMs, latestEndMs - windowMs), endMs: latestEndMs, series })
  const blocks = shuffled(history.blocks.filter((block) => block.minTime < latestEndMs), random).slice(0, blockWindows)
  if (blocks.length === 0) return windows
  const newest = Math.ceil(series / 2)
  if (windows[0] !== undefined) windows[0].series = newest
  const rest = windows.length === 0 ? series : series - newest
  for (const [at, block] of blocks.entries()) {
    const end = Math.min(block.maxTime - 1, latestEndMs)
    const share = Math.floor(rest / blocks.length) + (at < rest % blocks.length ? 1 : 0)
    if (share === 0) continue
    const startMs = block.minTime + Math.floor(random() * Math.max(0, end - windowMs - block.minTime))
    windows.push({ startMs, endMs: Math.min(startMs + windowMs, end), series: share })
  }
  return windows
}
