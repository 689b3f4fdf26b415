import { systemCode } from '../errors.ts'

/** What an operation on a file answers; undefined where it fails with one of the codes, by default since there is no such file. */
export async function ifThere<T>(operation: Promise<T>, codes: readonly string[] = ['ENOENT']): Promise<T | undefined> {
  try {
    return await operation
  } catch (error) {
    if (codes.includes(systemCode(error) ?? '')) return undefined
    throw error
  }
}
