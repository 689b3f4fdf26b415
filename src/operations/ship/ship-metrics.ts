import { basename, dirname } from 'node:path'
import type { WalLog } from '../../domain/wal-stream.ts'
import type { ErrorCode } from '../../errors.ts'
import type { Metric } from '../../integrations/node-exporter/metrics-file.ts'
import type { ShipReport, ShippedRepository, SourceDamage } from './ship-report.ts'

/** What happened at one repository since the process began. */
export interface RepositoryTally {
  /** That ended, well or not. */
  passes: number
  /** Passes that failed, by the code of the error. */
  failures: Map<string, number>
  lastSuccessAtMs: number | undefined
  lastGapFoundAtMs: number | undefined
  /** Whether the last pass that read the server's log met damage. */
  sourceDamaged: boolean
}

export interface ShipState {
  report: ShipReport
  /** By the repository's name. */
  tallies: ReadonlyMap<string, RepositoryTally>
  /** Segments that were let go before they were shipped. */
  lost: Readonly<Record<WalLog, number>>
  startedAtMs: number
}

const prefix = 'prom_dr_ship_'
type DamagedLog = WalLog | 'checkpoint'

const logs: readonly WalLog[] = ['wal', 'wbl']
const damagedLogs: readonly DamagedLog[] = [...logs, 'checkpoint']

/** What a pass may well fail with: a counter that was never 0 has no increase the first time. */
const commonFailures: readonly ErrorCode[] = [
  'STORE_UNREACHABLE', 'STORE_DENIED', 'STORE_REJECTED', 'STORE_BAD_RESPONSE', 'DISK_FULL', 'FILE_SYSTEM', 'DATA_DIR_UNREADABLE',
  'DAMAGED', 'CONTENTION', 'LEASE_LOST', 'LOCKED', 'SUPERSEDED', 'INSTANCE_TAKEN', 'REPOSITORY_TOO_NEW', 'INTERNAL',
]

/** The state of shipping as metrics. Labels have few values: names of the configuration, codes of errors, and which log. */
export function shipMetrics({ report, tallies, lost, startedAtMs }: ShipState): Metric[] {
  const server = report.instance
  const first = new Map(damagedLogs.map((log) => [log, placesOf(report.corruption, log)[0]]))
  const ofServer = (value: number) => sampled({ server }, value)
  const perLog = <Log extends string>(among: readonly Log[], valueOf: (log: Log) => number | undefined) => among.flatMap((log) => sampled({ server, log }, valueOf(log)))
  const perRepository = (valueOf: (repository: ShippedRepository, tally: RepositoryTally) => number | undefined) =>
    report.repositories.flatMap((repository) => {
      const tally = tallies.get(repository.name)
      return tally === undefined ? [] : sampled({ server, repository: repository.name }, valueOf(repository, tally))
    })
  const metric = (type: Metric['type'], name: string, of: Omit<Metric, 'name' | 'type'>): Metric => ({ type, name: `${prefix}${name}`, ...of })
  const ofRepositories = ['server', 'repository']
  const ofLogs = ['server', 'log']
  return [
    metric('gauge', 'start_time_seconds', { help: 'When this process began to ship, in seconds since the epoch: its counters began with 0 then.', labels: ['server'], samples: ofServer(startedAtMs / 1000) }),
    metric('gauge', 'last_pass_success', { help: 'Whether the last pass to the repository sent everything there was (1) or failed (0).', labels: ofRepositories, samples: perRepository(({ ok }, { passes }) => (passes === 0 ? undefined : Number(ok))) }),
    metric('gauge', 'last_success_timestamp_seconds', { help: 'When a pass to the repository last succeeded, in seconds since the epoch; 0 before the first of this process.', labels: ofRepositories, samples: perRepository((_, { lastSuccessAtMs }) => (lastSuccessAtMs ?? 0) / 1000) }),
    metric('gauge', 'newest_sample_timestamp_seconds', { help: 'Time of the newest sample that the repository has, in seconds since the epoch: time() less this would be lost with the host.', labels: ofRepositories, samples: perRepository(({ newestSample }) => (newestSample === null ? undefined : Date.parse(newestSample) / 1000)) }),
    metric('counter', 'passes_total', { help: 'Passes to the repository that ended, well or not.', labels: ofRepositories, samples: perRepository((_, { passes }) => passes) }),
    metric('counter', 'failures_total', { help: 'Passes to the repository that failed, by the code of the error.', labels: [...ofRepositories, 'code'], samples: failuresOf(report, tallies) }),
    metric('counter', 'shipped_parts_total', { help: 'Parts of the log that were stored in the repository by passes that succeeded.', labels: ofRepositories, samples: perRepository(({ parts }) => parts) }),
    metric('counter', 'shipped_bytes_total', { help: 'Bytes that were stored in the repository, compressed, by passes that succeeded.', labels: ofRepositories, samples: perRepository(({ bytes }) => bytes) }),
    metric('counter', 'gaps_total', { help: 'Time ranges found of which the shipped log has nothing.', labels: ofRepositories, samples: perRepository(({ gaps }) => gaps.length) }),
    metric('gauge', 'last_gap_found_timestamp_seconds', { help: 'When this process last found a gap, in seconds since the epoch; 0 where it found none.', labels: ofRepositories, samples: perRepository((_, { lastGapFoundAtMs }) => (lastGapFoundAtMs ?? 0) / 1000) }),
    metric('gauge', 'needed_recovery_point_failed', { help: 'Whether a recovery point that shipping needs could not be made (1).', labels: ofRepositories, samples: perRepository(({ name }) => Number(report.backups.some(({ repository, ok }) => repository === name && !ok))) }),
    metric('gauge', 'log_damaged', { help: 'Whether Prometheus\'s own log was damaged when it was last read (1).', labels: ['server'], samples: ofServer(Number([...tallies.values()].some(({ sourceDamaged }) => sourceDamaged))) }),
    metric('counter', 'log_corruptions_total', { help: 'Places found at which Prometheus\'s own log is corrupt.', labels: ofLogs, samples: perLog(damagedLogs, (log) => placesOf(report.corruption, log).length) }),
    metric('gauge', 'log_corruption_segment', { help: 'Number of the segment in which the first corruption was found; absent where there was none.', labels: ofLogs, samples: perLog(damagedLogs, (log) => first.get(log)?.segment) }),
    metric('gauge', 'log_corruption_offset_bytes', { help: 'Where in its segment the first corruption was found, in bytes: what is before it is good.', labels: ofLogs, samples: perLog(damagedLogs, (log) => first.get(log)?.offset) }),
    metric('gauge', 'unknown_record_types', { help: 'Types of records found in the log that this version does not know.', labels: ['server'], samples: ofServer(report.unknownRecords.length) }),
    metric('counter', 'lost_segments_total', { help: 'Segments that were let go before they were shipped, since ship.holdLimit allows no more.', labels: ofLogs, samples: perLog(logs, (log) => lost[log]) }),
  ]
}

function sampled(labels: Record<string, string>, value: number | undefined): Metric['samples'] {
  return value === undefined ? [] : [{ labels, value }]
}

function failuresOf({ instance: server, repositories }: ShipReport, tallies: ReadonlyMap<string, RepositoryTally>): Metric['samples'] {
  return repositories.flatMap(({ name: repository }) => {
    const failures = new Map<string, number>([...commonFailures.map((code) => [code, 0] as const), ...(tallies.get(repository)?.failures ?? [])])
    return [...failures].map(([code, value]) => ({ labels: { server, repository, code }, value }))
  })
}

/** Each once, in the order in which they were found: a segment that was removed is read again where it is held. */
function placesOf(corruption: readonly SourceDamage[], log: DamagedLog): SourceDamage[] {
  const places = new Map<string, SourceDamage>()
  for (const damage of corruption) {
    const place = `${damage.segment}:${damage.offset}`
    if (logOf(damage) === log && !places.has(place)) places.set(place, damage)
  }
  return [...places.values()]
}

function logOf({ path }: SourceDamage): DamagedLog {
  const directory = basename(dirname(path))
  if (directory.startsWith('checkpoint.')) return 'checkpoint'
  return directory === 'wbl' ? 'wbl' : 'wal'
}
