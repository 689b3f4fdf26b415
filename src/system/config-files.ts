import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { PromDrError, messageOf, systemCode } from '../errors.ts'

/** The text of a small file; undefined when there is none. @throws FILE_SYSTEM */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new PromDrError('FILE_SYSTEM', `cannot read ${path}: ${messageOf(error)}`, { cause: error })
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
