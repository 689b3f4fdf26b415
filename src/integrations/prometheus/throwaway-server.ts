import { stat } from 'node:fs/promises'
import { stringify } from 'yaml'
import { isAtLeast, type PrometheusVersion } from '../../domain/prometheus-version.ts'
import { PromDrError, systemCode } from '../../errors.ts'
import { type PrometheusServer, type PrometheusServerOptions, startPrometheus } from './prometheus-server.ts'
import { binaryVersion } from './prometheus-version.ts'

export interface ThrowawayServerOptions extends Pick<PrometheusServerOptions, 'binary' | 'logFile' | 'readyTimeoutMs' | 'onReplay' | 'signal'> {
  /** Those of the source: remote read adds them to what it answers, so that answers can be compared. */
  externalLabels?: Record<string, string>
  flags?: readonly string[]
}

/**
 * Starts a server that only answers: no scraping, no rules, no alerting, on loopback, as the owner of the data directory
 * when we are root. It deletes no history and compacts nothing, but it writes (a new WAL segment, `chunks_head`,
 * `queries.active`; repairs of the WAL): give it a clone.
 * @throws as `startPrometheus`; DATA_DIR_UNREADABLE when there is no such directory
 */
export async function startThrowawayServer(dataDir: string, options: ThrowawayServerOptions): Promise<PrometheusServer> {
  const { binary = 'prometheus', externalLabels = {}, flags = [], ...rest } = options
  const owner = await ownerToRunAs(dataDir)
  const version = await binaryVersion(binary)
  return startPrometheus({
    ...rest,
    binary,
    dataDir,
    config: { text: stringify({ global: { external_labels: externalLabels } }) },
    flags: [...preservingFlags(version), ...flags],
    ...(owner !== undefined && { owner }),
  })
}

/**
 * 100 years: Prometheus counts durations in nanoseconds, in 63 bits, so that 292 years is where it overflows.
 * Blocks are merged by ranges from min-block-duration to max-block-duration: with one range there is nothing to merge,
 * and a head that spans less is not cut. Overlapping blocks are merged all the same, unless told not to, which
 * 2.55 has learnt and 3.0 has not (prometheus pull requests 14581, 15113).
 */
export function preservingFlags(version: PrometheusVersion): string[] {
  return [
    '--storage.tsdb.retention.time=100y',
    '--storage.tsdb.min-block-duration=100y',
    '--storage.tsdb.max-block-duration=100y',
    ...(isAtLeast(version, 2, 55) && !(version.major === 3 && version.minor === 0) ? ['--no-storage.tsdb.allow-overlapping-compaction'] : []),
  ]
}

/** Undefined when the server may run as we do. */
async function ownerToRunAs(dataDir: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(dataDir)
    return process.getuid?.() === 0 && uid !== 0 ? { uid, gid } : undefined
  } catch (error) {
    throw new PromDrError('DATA_DIR_UNREADABLE', `cannot read the data directory ${dataDir}: ${systemCode(error) ?? 'unknown error'}`, { cause: error })
  }
}
