import { type PromDrError, messageOf } from '../../errors.ts'
import type { Style } from '../output.ts'
import { printableLines } from '../printable.ts'

/** `error: …` and `hint: …`, for people; a mistake in prom-dr itself with its trace. */
export function renderError(error: PromDrError, style: Style): string {
  const trace = error.code === 'INTERNAL' && error.cause instanceof Error ? `\n${style.dim(printableLines(error.cause.stack ?? ''))}` : ''
  const hint = error.hint === undefined ? '' : `\n${style.cyan('hint:')} ${printableLines(error.hint)}`
  return `${style.red('error:')} ${printableLines(messageOf(error))}${hint}${trace}\n`
}

/** The failure as `--json` prints it. */
export function errorDocument(error: PromDrError): { error: Record<string, unknown> } {
  return {
    error: { code: error.code, message: messageOf(error), hint: error.hint ?? null, ...(error.details !== undefined && { details: error.details }) },
  }
}
