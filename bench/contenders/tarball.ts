import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { destinationEnv, rclonePath } from '../destination.ts'
import { measure, together } from '../measure.ts'
import type { Contender } from './contender.ts'

/** The script that most people have: tar -czf, then an upload of the tarball. */
export const tarball: Contender = {
  name: 'tar -czf and upload',
  remark: 'gzip at its default level; uploaded with rclone copyto',
  incremental: false,
  prepare: async () => {},
  backup: async (source, destination) => {
    const local = join(source.workDir, 'snapshot.tar.gz')
    const sync = destination.kind === 'file' ? { syncPath: destination.folder } : {}
    const packed = await measure(['tar', '-czf', local, '-C', source.snapshotDir, '.'])
    const sent = await measure(['rclone', 'copyto', local, `${rclonePath(destination)}/snapshot.tar.gz`], { env: destinationEnv(destination), ...sync })
    await rm(local)
    return together([packed, sent])
  },
  restore: async (source, destination, target) => {
    const local = join(source.workDir, 'restored.tar.gz')
    await mkdir(target, { recursive: true })
    const fetched = await measure(['rclone', 'copyto', `${rclonePath(destination)}/snapshot.tar.gz`, local], { env: destinationEnv(destination) })
    const unpacked = await measure(['tar', '-xzf', local, '-C', target], { syncPath: target })
    await rm(local)
    return together([fetched, unpacked])
  },
}
