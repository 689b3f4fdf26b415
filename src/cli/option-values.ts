import { PromDrError, hasCode } from '../errors.ts'

/** An option's parser whose refusal names the option. */
export function named<T>(option: string, parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      if (!hasCode(error, 'USAGE')) throw error
      throw new PromDrError('USAGE', `${option}: ${error.message}`, { ...(error.hint !== undefined && { hint: error.hint }), ...(error.details !== undefined && { details: error.details }) })
    }
  }
}

/** Names with commas between; the option may be repeated. */
export function collectNames(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), ...value.split(',').map((name) => name.trim()).filter((name) => name !== '')]
}

/** For an option that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value]
}

/** A path; an empty one is a shell variable that was not set, and would stand for the working directory. @throws USAGE */
export function parsePath(text: string): string {
  if (text !== '') return text
  throw new PromDrError('USAGE', 'the path is empty', { hint: 'is a variable in the command not set? The working directory is "."' })
}

/** `user` or `user:group`, names or numbers. @throws USAGE */
export function parseOwner(text: string): string {
  if (/^[A-Za-z0-9_][\w.-]*(:[A-Za-z0-9_][\w.-]*)?$/.test(text)) return text
  throw new PromDrError('USAGE', `${JSON.stringify(text)} is not an owner`, { hint: 'write user or user:group, as prometheus:prometheus' })
}
