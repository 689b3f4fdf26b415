import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { treeBytes } from './dataset.ts'
import { run } from './measure.ts'

/** Where a contender keeps its backup: a folder, or a prefix of a bucket on an S3 server. */
export type Destination = FolderDestination | BucketDestination

export interface FolderDestination {
  kind: 'file'
  folder: string
}

export interface BucketDestination {
  kind: 's3'
  endpoint: string
  region: string
  bucket: string
  prefix: string
  accessKeyId: string
  secretAccessKey: string
}

/** A place of its own for each contender below `base`. */
export function subDestination(base: Destination, name: string): Destination {
  return base.kind === 'file' ? { kind: 'file', folder: join(base.folder, name) } : { ...base, prefix: `${base.prefix}/${name}` }
}

/** The destination as rclone writes it; its remote is described by `destinationEnv`. */
export function rclonePath(destination: Destination): string {
  return destination.kind === 'file' ? destination.folder : `bench:${destination.bucket}/${destination.prefix}`
}

/** Credentials and endpoint for rclone, restic and prom-dr: in the environment, never in arguments. */
export function destinationEnv(destination: Destination): Record<string, string> {
  if (destination.kind === 'file') return { RCLONE_CONFIG: '/dev/null' }
  const { endpoint, region, accessKeyId, secretAccessKey } = destination
  return {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_BENCH_TYPE: 's3',
    RCLONE_CONFIG_BENCH_PROVIDER: 'Ceph',
    RCLONE_CONFIG_BENCH_ENDPOINT: endpoint,
    RCLONE_CONFIG_BENCH_REGION: region,
    RCLONE_CONFIG_BENCH_ENV_AUTH: 'true',
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_DEFAULT_REGION: region,
    // rclone refuses to start with a bundle of its own, and nothing here is TLS.
    AWS_CA_BUNDLE: '',
  }
}

export async function emptyDestination(destination: Destination): Promise<void> {
  if (destination.kind === 'file') {
    await rm(destination.folder, { recursive: true, force: true })
    await mkdir(destination.folder, { recursive: true })
    return
  }
  await run(['rclone', 'delete', rclonePath(destination)], { env: destinationEnv(destination) })
}

/** Bytes of all files or objects there. */
export async function storedBytes(destination: Destination): Promise<number> {
  if (destination.kind === 'file') return treeBytes(destination.folder)
  const answer = await run(['rclone', 'size', '--json', rclonePath(destination)], { env: destinationEnv(destination) })
  return (JSON.parse(answer) as { bytes: number }).bytes
}
