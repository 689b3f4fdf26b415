import { realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PromDrError } from '../errors.ts'
import { symlinkRefused, unlessMissing } from './file-errors.ts'
import { checkKey } from './keys.ts'

/** Holds files that are being written. Hidden from listings at every depth, no key may lie in it. */
export const temporaryFolder = '.prom-dr-tmp'

export interface FilePaths {
  readonly root: string
  /** @throws KEY_INVALID */
  of(key: string): string
  /** Refuses a path whose directory is reached through a symbolic link below the root. True when the directory exists. */
  checkContained(path: string): Promise<boolean>
}

export function createFilePaths(root: string): FilePaths {
  let realRoot: string | undefined
  return {
    root,
    of(key) {
      checkKey(key)
      if (key.split('/').includes(temporaryFolder)) throw new PromDrError('KEY_INVALID', `object key ${key} is refused: ${temporaryFolder} is kept for files being written`)
      return join(root, key)
    },
    async checkContained(path) {
      // The root itself may be a link: where the repository lies is the operator's choice.
      realRoot ??= await unlessMissing('open', root, () => realpath(root))
      if (realRoot === undefined) return false
      const directory = dirname(path)
      const real = await unlessMissing('open', directory, () => realpath(directory))
      if (real === undefined) return false
      if (real !== join(realRoot, directory.slice(root.length))) throw symlinkRefused(directory)
      return true
    },
  }
}
