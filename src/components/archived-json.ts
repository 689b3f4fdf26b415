import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { z } from 'zod'
import { PromDrError } from '../errors.ts'
import { ifThere } from '../system/if-there.ts'

/** A file of JSON in an archive; undefined when there is none. @throws DAMAGED when it is not what the schema says */
export async function readArchivedJson<T>(directory: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await ifThere(readFile(join(directory, name), 'utf8'))
  if (text === undefined) return undefined
  const parsed = schema.safeParse(jsonOf(text, name))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw notUnderstood(name, [issue?.path.join('.'), issue?.message].filter((word) => word !== undefined && word !== '').join(' '))
}

/** By name, so that what has not changed gives the same bytes. */
export function inNameOrder<T>(entries: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function jsonOf(text: string, name: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) throw notUnderstood(name, 'it is not JSON')
    throw error
  }
}

function notUnderstood(name: string, why: string): PromDrError {
  return new PromDrError('DAMAGED', `the archive's ${name} cannot be understood: ${why}`, { hint: 'restore another recovery point, or take single files out with "prom-dr show <id> --cat"' })
}
