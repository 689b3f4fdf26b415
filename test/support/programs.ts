import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'vitest'

/** Where `program` is on the PATH, or undefined. */
export function findProgram(program: string): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not there: the next directory may have it.
    }
  }
  return undefined
}

/** Skips the test when a real program it needs is missing, and says so; fails it where missing programs count as failures. */
export function needPrograms(context: Pick<TestContext, 'skip'>, ...programs: string[]): void {
  const missing = programs.filter((program) => findProgram(program) === undefined)
  if (missing.length === 0) return
  const message = `needs ${missing.join(', ')}, which is not installed`
  if (process.env['PROM_DR_REQUIRE_PROGRAMS'] === '1') throw new Error(message)
  context.skip(message)
}
