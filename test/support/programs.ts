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

/**
 * For `describe.skipIf(missingPrograms(…))` around a `beforeAll` that starts servers. True when one is missing, said in
 * one line; throws where missing programs count as failures.
 */
export function missingPrograms(...programs: string[]): boolean {
  const missing = programs.filter((program) => findProgram(program) === undefined)
  if (missing.length === 0) return false
  const message = `needs ${missing.join(', ')}, which is not installed`
  if (process.env['PROM_DR_REQUIRE_PROGRAMS'] === '1') throw new Error(message)
  console.warn(`skipped: ${message}`)
  return true
}
