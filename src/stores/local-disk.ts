import { statfs } from 'node:fs/promises'
import { systemCode } from '../errors.ts'

/** Magic numbers of statfs(2) that local file systems of Linux have: ext2 to ext4, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS, bcachefs. */
const localTypes = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0xca451a4e])

/**
 * Whether the directory lies on a disk of this machine, as far as is known. A network mount whose server is gone answers nothing for as long as
 * it is gone: whoever asks it directly, and not by way of a thread, stands still with everything else in the process.
 */
export async function isOnLocalDisk(directory: string): Promise<boolean> {
  try {
    return localTypes.has((await statfs(directory)).type)
  } catch (error) {
    // What is asked of it next tells what is wrong.
    if (systemCode(error) === undefined) throw error
    return false
  }
}
