import { destinationEnv, rclonePath } from '../destination.ts'
import { measure } from '../measure.ts'
import type { Contender } from './contender.ts'

/** Copies the files as they are, with rclone's own defaults. */
export const rclone: Contender = {
  name: 'rclone copy',
  remark: 'default settings; nothing is verified on the way back',
  incremental: true,
  prepare: async () => {},
  backup: (source, destination) =>
    measure(['rclone', 'copy', source.snapshotDir, rclonePath(destination)], { env: destinationEnv(destination), ...(destination.kind === 'file' && { syncPath: destination.folder }) }),
  restore: (_source, destination, target) => measure(['rclone', 'copy', rclonePath(destination), target], { env: destinationEnv(destination), syncPath: target }),
}
