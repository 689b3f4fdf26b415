import cliProgress from 'cli-progress'
import { formatByteSize } from '../domain/byte-size.ts'
import { type Progress, noProgress } from '../domain/progress.ts'
import type { OutputStream } from './output.ts'
import { formatElapsed } from './render/units.ts'

export interface ProgressState {
  phase: string
  bytes: number
  /** Undefined where it is not known. */
  totalBytes: number | undefined
  elapsedMs: number
}

const barWidth = 20

/** `blocks  ██████░░░░  42%  118 MiB of 280 MiB  34 MiB/s  4.2 s left`; no longer than 79 columns for sane phases. */
export function progressLine(state: ProgressState): string {
  const rate = state.elapsedMs > 500 ? state.bytes / (state.elapsedMs / 1000) : undefined
  const parts = [state.phase.padEnd(10)]
  if (state.totalBytes !== undefined && state.totalBytes > 0) {
    const share = Math.min(1, Math.max(0, state.bytes / state.totalBytes))
    const full = Math.round(share * barWidth)
    parts.push('█'.repeat(full) + '░'.repeat(barWidth - full), `${Math.floor(share * 100)}%`.padStart(4))
    parts.push(`${formatByteSize(state.bytes)} of ${formatByteSize(state.totalBytes)}`)
  } else if (state.bytes > 0) parts.push(formatByteSize(state.bytes))
  if (rate !== undefined && rate > 0) parts.push(`${formatByteSize(rate)}/s`)
  const left = (state.totalBytes ?? 0) - state.bytes
  if (rate !== undefined && rate > 0 && left > 0) parts.push(`${formatElapsed(Math.ceil(left / rate) * 1000)} left`)
  return parts.join('  ')
}

/** Bars on a terminal, one a phase; nothing at all where it is not enabled. */
export function createProgressBar(options: { stream: OutputStream; enabled: boolean }): Progress {
  if (!options.enabled) return noProgress
  let bar: cliProgress.SingleBar | undefined
  let state: ProgressState | undefined
  let startedMs = 0
  const finish = () => {
    bar?.stop()
    bar = undefined
  }
  return {
    start(phase, totalBytes) {
      finish()
      startedMs = performance.now()
      state = { phase, bytes: 0, totalBytes, elapsedMs: 0 }
      bar = new cliProgress.SingleBar({
        stream: options.stream,
        format: () => progressLine({ ...(state ?? { phase, bytes: 0, totalBytes }), elapsedMs: performance.now() - startedMs }),
        fps: 8,
        hideCursor: true,
        clearOnComplete: true,
        gracefulExit: false,
        linewrap: false,
      })
      bar.start(Math.max(totalBytes ?? 1, 1), 0)
    },
    advance(bytes) {
      if (state === undefined || bar === undefined) return
      state.bytes += bytes
      bar.update(state.bytes)
    },
    finish,
  }
}
