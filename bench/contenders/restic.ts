import { join } from 'node:path'
import { type Destination, destinationEnv } from '../destination.ts'
import { type MeasureOptions, measure, run } from '../measure.ts'
import type { Contender, Source } from './contender.ts'

/** Encrypts and splits into chunks by content, as it always does. */
export const restic: Contender = {
  name: 'restic',
  remark: 'encrypted, deduplicated by content; default settings',
  incremental: true,
  prepare: async (source, destination) => {
    await run(['restic', 'init'], { env: resticEnv(source, destination) })
  },
  backup: (source, destination) => measure(['restic', 'backup', '--quiet', '.'], { ...options(source, destination), cwd: source.snapshotDir }),
  restore: (source, destination, target) => measure(['restic', 'restore', '--quiet', 'latest', '--target', target], { ...options(source, destination), syncPath: target }),
}

function options(source: Source, destination: Destination): MeasureOptions {
  return { env: resticEnv(source, destination), ...(destination.kind === 'file' && { syncPath: destination.folder }) }
}

function resticEnv(source: Source, destination: Destination): Record<string, string> {
  return {
    ...destinationEnv(destination),
    RESTIC_PASSWORD: 'benchmark',
    RESTIC_CACHE_DIR: join(source.workDir, 'restic-cache'),
    RESTIC_REPOSITORY: destination.kind === 'file' ? destination.folder : `s3:${destination.endpoint}/${destination.bucket}/${destination.prefix}`,
  }
}
