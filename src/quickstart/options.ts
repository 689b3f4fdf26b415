import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { PromDrError, messageOf } from '../errors.ts'

export interface QuickstartOptions {
  /** Where everything stays for a look afterwards; undefined: a temporary directory, removed at the end. */
  keepDir: string | undefined
  help: boolean
}

export const usage = `Usage: npm run quickstart [-- --keep DIR]

Starts a throwaway Prometheus, backs it up, destroys it and brings it back, in a temporary
directory and on free loopback ports. Nothing outside is touched and nothing is left behind.

  --keep DIR   work in DIR (new or empty) and leave the repository and the restored data there
  --help       show this text
`

/** @throws USAGE */
export function parseOptions(args: readonly string[]): QuickstartOptions {
  try {
    const { values } = parseArgs({ args: [...args], options: { keep: { type: 'string' }, help: { type: 'boolean' } } })
    return { keepDir: values.keep === undefined ? undefined : resolve(values.keep), help: values.help === true }
  } catch (error) {
    throw new PromDrError('USAGE', messageOf(error), { hint: 'npm run quickstart -- --help', cause: error })
  }
}
