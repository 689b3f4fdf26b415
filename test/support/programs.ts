import type { TestContext } from 'vitest'
import { findProgram } from '../../src/system/programs.ts'

/** Skips the test when a real program it needs is missing, and says so; fails it where missing programs count as failures. */
export function needPrograms(context: Pick<TestContext, 'skip'>, ...programs: string[]): void {
  const missing = programs.filter((program) => findProgram(program) === undefined)
  if (missing.length === 0) return
  const message = `needs ${missing.join(', ')}, which is not installed`
  if (process.env['PROM_DR_REQUIRE_PROGRAMS'] === '1') throw new Error(message)
  context.skip(message)
}
