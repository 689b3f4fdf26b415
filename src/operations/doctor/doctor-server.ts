import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { hasCode } from '../../errors.ts'
import { directoryFacts, mayWrite, sameDirectory, snapshotsOnSameDevice } from '../../tsdb/data-directory-access.ts'
import { listBlocks, listSnapshots } from '../../tsdb/data-directory.ts'
import { type DoctorContext, harmfulClockOffsetMs, worryingClockOffsetMs } from './doctor-context.ts'
import type { DoctorCheck } from './doctor-report.ts'

/** A snapshot's head block takes at most about this much per series and chunk in memory (index entry and samples). */
const headBytesPerChunk = 400

/** The server and its data directory: what `backup` needs. @throws PROMETHEUS_* when it cannot be asked at all */
export async function checkServer(context: DoctorContext): Promise<DoctorCheck[]> {
  const area = 'prometheus'
  const options = { signal: context.signal }
  const { prometheus } = context
  const [build, flags, time, ready, retention] = await Promise.all([prometheus.buildInfo(options), prometheus.flags(options), prometheus.serverTime(options), prometheus.isReady(options), prometheus.retention(options)])
  const admin = flags['web.enable-admin-api'] === 'true'
  const checks: DoctorCheck[] = [
    { area, name: 'API', status: 'ok', detail: `Prometheus ${build.version} at ${prometheus.url}` },
    ready ? { area, name: 'ready', status: 'ok', detail: 'it answers queries' } : { area, name: 'ready', status: 'warn', detail: 'it is starting (replaying its WAL)', advice: 'wait until /-/ready answers 200' },
    admin
      ? { area, name: 'admin API', status: 'ok', detail: 'snapshots can be taken' }
      : { area, name: 'admin API', status: 'fail', detail: 'it is off: no snapshot can be taken', advice: 'add --web.enable-admin-api to the server\'s flags (on Debian: ARGS in /etc/default/prometheus) and restart it; keep the port away from users, the admin API can delete series' },
    clockCheck(area, { offsetMs: time.offsetMs, uncertaintyMs: time.uncertaintyMs, whose: 'the server\'s clock' }),
    { area, name: 'retention', status: 'ok', detail: retention.timeMs === undefined ? 'none by time' : formatDuration(retention.timeMs) },
  ]
  return [...checks, ...(await checkDataDirectory(context))]
}

export function clockCheck(area: string, clock: { offsetMs: number; uncertaintyMs: number; whose: string }): DoctorCheck {
  const offMs = Math.max(0, Math.abs(clock.offsetMs) - clock.uncertaintyMs)
  const detail = `${clock.whose} is ${(clock.offsetMs / 1000).toFixed(1)} s from ours (to ${(clock.uncertaintyMs / 1000).toFixed(1)} s)`
  if (offMs < worryingClockOffsetMs) return { area, name: 'clock', status: 'ok', detail }
  return { area, name: 'clock', status: offMs < harmfulClockOffsetMs ? 'warn' : 'fail', detail, advice: 'run an NTP client (chrony, systemd-timesyncd) on both: RPO, retention and request signatures are judged by clocks' }
}

async function checkDataDirectory(context: DoctorContext): Promise<DoctorCheck[]> {
  const area = 'data directory'
  const served = await context.prometheus.dataDirectory({ signal: context.signal })
  const dataDir = context.dataDir ?? served
  const checks: DoctorCheck[] = []
  const same = dataDir === served ? true : await sameDirectory(dataDir, served)
  if (same === false) {
    return [{ area, name: 'is the server\'s', status: 'fail', detail: `${dataDir} is configured, the server uses ${served}`, advice: 'correct or remove prometheus.dataDir' }]
  }
  checks.push(same === true
    ? { area, name: 'is the server\'s', status: 'ok', detail: dataDir }
    : { area, name: 'is the server\'s', status: 'warn', detail: `${dataDir} is configured, the server calls it ${served}, which is not on this host`, advice: 'fine for a container\'s volume: the first backup proves it' })
  try {
    const { blocks, unfinished } = await listBlocks(dataDir)
    checks.push({ area, name: 'readable', status: 'ok', detail: `${blocks.length} blocks${unfinished.length === 0 ? '' : `, ${unfinished.length} unfinished`}` })
  } catch (error) {
    if (!hasCode(error, 'DATA_DIR_UNREADABLE')) throw error
    return [...checks, { area, name: 'readable', status: 'fail', detail: error.message, advice: error.hint ?? 'run prom-dr on the server\'s host, as the user that Prometheus runs as, or as root' }]
  }
  const snapshots = `${dataDir}/snapshots`
  checks.push((await mayWrite(snapshots))
    ? { area, name: 'snapshots can be removed', status: 'ok', detail: snapshots }
    : { area, name: 'snapshots can be removed', status: 'fail', detail: `${snapshots} is not writable for uid ${context.host.uid}`, advice: 'run as the user that Prometheus runs as, or as root: nobody else removes snapshots' })
  checks.push((await snapshotsOnSameDevice(dataDir))
    ? { area, name: 'same file system', status: 'ok', detail: 'snapshots are hard links beside the data' }
    : { area, name: 'same file system', status: 'fail', detail: `${snapshots} is on another file system than the data`, advice: 'unmount it: snapshots are hard links' })
  checks.push(await checkSpace(context, dataDir), await checkLeftSnapshots(dataDir))
  return checks
}

async function checkSpace(context: DoctorContext, dataDir: string): Promise<DoctorCheck> {
  const [{ freeBytes }, status] = await Promise.all([directoryFacts(dataDir), context.prometheus.tsdbStatus({ signal: context.signal })])
  const neededBytes = status.chunkCount * headBytesPerChunk
  const detail = `${formatByteSize(freeBytes)} free; a snapshot of the head takes at most about ${formatByteSize(neededBytes)} until the backup ends`
  const check = { area: 'data directory', name: 'free space', detail }
  return freeBytes > neededBytes * 2 ? { ...check, status: 'ok' } : { ...check, status: freeBytes > neededBytes ? 'warn' : 'fail', advice: 'free some space, or back up with --head never' }
}

async function checkLeftSnapshots(dataDir: string): Promise<DoctorCheck> {
  const snapshots = await listSnapshots(dataDir)
  const check = { area: 'data directory', name: 'snapshots left behind' }
  if (snapshots.length === 0) return { ...check, status: 'ok', detail: 'none' }
  return { ...check, status: 'warn', detail: `${snapshots.length}: ${snapshots.slice(0, 3).map((snapshot) => snapshot.name).join(', ')}${snapshots.length > 3 ? '…' : ''}`, advice: `they pin deleted blocks on the disk; those of killed backups go with the next backup, remove the others below ${dataDir}/snapshots when nobody needs them` }
}
