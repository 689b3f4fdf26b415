import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { PromDrError, messageOf, systemCode } from '../errors.ts'

/** The text of a configuration file; undefined when there is none. @throws CONFIG_INVALID */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    const hint = code === 'EISDIR' ? `name the file in it, such as ${join(path, 'prom-dr.yml')}` : 'run as a user who may read it'
    throw new PromDrError('CONFIG_INVALID', `cannot read ${path}: ${messageOf(error)}`, { cause: error, hint })
  }
}

/** Why a file cannot be read, in words that follow its name; undefined when it can. */
export function whyUnreadable(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK)
    return statSync(path).isFile() ? undefined : 'which is not a file'
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'which does not exist'
    if (code === 'EACCES') return 'which may not be read'
    return `which cannot be read (${messageOf(error)})`
  }
}
