import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const pending: (() => Promise<void>)[] = []

/** Runs at the end of the test file, last registered first, also after a failure. */
export function atEndOfFile(tidy: () => Promise<void>): void {
  pending.push(tidy)
}

/** A directory below the system's temporary one, removed at the end of the test file. */
export async function temporaryDirectory(name = 'test'): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `prom-dr-${name}-`))
  atEndOfFile(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
  return directory
}

afterAll(async () => {
  const failures: unknown[] = []
  for (const tidy of pending.splice(0).reverse()) await tidy().catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw new AggregateError(failures, 'the tests could not be tidied up')
})
