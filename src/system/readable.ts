import { access, constants } from 'node:fs/promises'
import { ifThere } from './if-there.ts'

/** Whether it is there, and this user may read it. */
export async function isReadable(path: string): Promise<boolean> {
  const readable = access(path, constants.R_OK).then(() => true)
  return (await ifThere(readable, ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM'])) ?? false
}
