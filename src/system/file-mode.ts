import { statSync } from 'node:fs'

/** The permission bits of a file: 0o640. */
export function fileMode(path: string): number {
  return statSync(path).mode & 0o777
}
