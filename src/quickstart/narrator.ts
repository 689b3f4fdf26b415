import { setTimeout as delay } from 'node:timers/promises'
import type pc from 'picocolors'
import { formatByteSize } from '../domain/byte-size.ts'
import type { BackupReport } from '../operations/backup/backup-report.ts'
import type { RestoreReport } from '../operations/restore/restore-report.ts'
import type { ComparedAnswer } from './questions.ts'

export type Colors = ReturnType<typeof pc.createColors>

/** Tells what happens, as it happens. */
export interface Narrator {
  step(title: string): void
  detail(text: string): void
  command(text: string): void
  /** Waits, counting down on a terminal. Rejects when the signal is aborted. */
  wait(what: string, durationMs: number, signal: AbortSignal): Promise<void>
  backedUp(report: BackupReport): void
  restored(report: RestoreReport): void
  answered(answers: readonly ComparedAnswer[]): void
}

export interface NarratorOptions {
  write(text: string): void
  colors: Colors
  isTerminal: boolean
}

export function createNarrator({ write, colors, isTerminal }: NarratorOptions): Narrator {
  let steps = 0
  const detail = (text: string) => write(`   ${colors.dim(text)}\n`)
  return {
    step: (title) => {
      steps += 1
      write(`\n${colors.cyan(`${steps}`)}  ${colors.bold(title)}\n`)
    },
    detail,
    command: (text) => write(`   ${colors.green('$')} ${text}\n`),
    wait: async (what, durationMs, signal) => {
      if (!isTerminal) {
        detail(what)
        await delay(durationMs, undefined, { signal })
        return
      }
      for (let leftMs = durationMs; leftMs > 0; leftMs -= 1_000) {
        write(`\r\u001b[K   ${colors.dim(`${what}: ${Math.ceil(leftMs / 1000)}`)}`)
        await delay(Math.min(leftMs, 1_000), undefined, { signal })
      }
      write(`\r\u001b[K   ${colors.dim(what)}\n`)
    },
    backedUp: ({ recoveryPoint, uploadedBytes, durationMs }) => {
      const { id, blocks, samples, knownAnswers } = recoveryPoint
      detail(`recovery point ${id}: ${count(blocks, 'block')}, ${count(samples, 'sample')}, ${formatByteSize(uploadedBytes)} stored in ${seconds(durationMs)}`)
      detail(`known answers kept with it: ${count(knownAnswers.samples, 'sample')} of ${count(knownAnswers.series, 'series', 'series')}`)
    },
    restored: ({ bytes, recoverableAt, answers }) => {
      detail(`${formatByteSize(bytes)} fetched and checked, up to ${recoverableAt ?? 'an empty history'}`)
      if (answers !== null) detail('the throwaway server gave the known answers, bit for bit')
    },
    answered: (answers) => answers.forEach(({ title, before, after }) => detail(`${title.padEnd(24)} ${before} → ${after}`)),
  }
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString('en')} ${value === 1 ? one : many}`
}

/** `0.42 s`, `12.3 s`. */
export function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(durationMs < 10_000 ? 2 : 1)} s`
}
