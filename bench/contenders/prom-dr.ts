import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Destination, destinationEnv } from '../destination.ts'
import { type Measured, measure } from '../measure.ts'
import type { Contender, Source } from './contender.ts'

const launcher = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'bin', 'prom-dr.js')

export const promDr: Contender = {
  name: 'prom-dr',
  remark: 'takes its own snapshot, keeps known answers, reads back the manifest; restore checks every SHA-256 and CRC32C',
  incremental: true,
  prepare: async (source, destination) => {
    await writeFile(configFile(source), promDrConfig(destination, source))
  },
  backup: (source, destination) => promDrCommand(source, destination, { args: ['backup'], ...(destination.kind === 'file' && { syncPath: destination.folder }) }),
  // The data set is days old and grows older between runs: the target is a side instance, which deletes nothing.
  restore: (source, destination, target) => promDrCommand(source, destination, { args: ['restore', '--at', 'latest', '--target', target, '--side-instance'], syncPath: target }),
}

/** Runs the real command line as a user would. */
export function promDrCommand({ workDir }: Pick<Source, 'workDir'>, destination: Destination, command: { args: readonly string[]; syncPath?: string }): Promise<Measured> {
  const { args, ...syncing } = command
  return measure([process.execPath, launcher, ...args, '--config', configFile({ workDir }), '--json'], { env: destinationEnv(destination), ...syncing })
}

export function configFile(source: Pick<Source, 'workDir'>): string {
  return join(source.workDir, 'prom-dr.yml')
}

export function promDrConfig(destination: Destination, server: { prometheusUrl: string; dataDir: string }): string {
  const lines = ['instance: bench', 'prometheus:', `  url: ${server.prometheusUrl}`, `  dataDir: ${server.dataDir}`, 'repositories:', '  - name: bench']
  if (destination.kind === 'file') lines.push(`    url: file://${destination.folder}`)
  else lines.push(`    url: s3://${destination.bucket}/${destination.prefix}`, `    s3: {region: ${destination.region}, endpoint: '${destination.endpoint}', forcePathStyle: true}`)
  return `${lines.join('\n')}\n`
}
