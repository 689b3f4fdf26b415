import { formatDuration } from '../../domain/duration.ts'
import { canReadDataOf, formatVersion, parsePrometheusVersion } from '../../domain/prometheus-version.ts'
import { allBlocks } from '../../domain/recovery-point.ts'
import { hasCode } from '../../errors.ts'
import { directoryFacts, writeObstacle } from '../../tsdb/data-directory-access.ts'
import { directoryContents } from '../../tsdb/data-directory.ts'
import type { DoctorContext } from './doctor-context.ts'
import type { DoctorCheck } from './doctor-report.ts'
import { pointsOf, readSources } from '../repository-sources.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'

const area = 'restore'

/** What a restore of the newest recovery point on this host would meet. */
export async function checkRestore(context: DoctorContext): Promise<DoctorCheck[]> {
  const newest = await newestPoint(context)
  const checks = [await checkProgram(context, newest), await checkTarget(context), ...(await checkOwner(context))]
  if (newest === undefined) return [...checks, { area, name: 'recovery point', status: 'warn', detail: `instance ${context.instance} has none yet`, advice: 'run "prom-dr backup"' }]
  const ageMs = context.clock.now().getTime() - newest.createdAt
  checks.push({ area, name: 'recovery point', status: 'ok', detail: `the newest is ${newest.id}, ${formatDuration(Math.max(1000, Math.floor(ageMs / 1000) * 1000))} old` }, checkRetention(context, newest))
  return checks
}

async function newestPoint(context: DoctorContext): Promise<StoredRecoveryPoint | undefined> {
  try {
    const sources = await readSources(context.repositories, { repositories: [], instance: context.instance, signal: context.signal })
    return sources.repositories.flatMap((source) => pointsOf(source, context.instance)).sort((a, b) => b.createdAt - a.createdAt)[0]
  } catch (error) {
    // Each repository has a check of its own, which has told it already.
    if (hasCode(error, 'STORE_UNREACHABLE', 'STORE_DENIED', 'STORE_BAD_RESPONSE', 'STORE_REJECTED', 'REPOSITORY_NOT_FOUND', 'REPOSITORY_TOO_NEW', 'OBJECT_NOT_FOUND', 'DAMAGED')) return undefined
    throw error
  }
}

async function checkProgram(context: DoctorContext, newest: StoredRecoveryPoint | undefined): Promise<DoctorCheck> {
  const name = 'Prometheus program'
  const version = await context.localVersion()
  if (version === undefined) return { area, name, status: 'warn', detail: 'none on this host: --start and --start-server cannot ask known answers', advice: 'install prometheus here, or set prometheus.binary' }
  const source = newest === undefined ? undefined : parsePrometheusVersion(newest.source.prometheusVersion)
  const readable = source === undefined ? { readable: true as const } : canReadDataOf(version, source)
  if (!readable.readable) return { area, name, status: 'fail', detail: readable.reason, advice: `install Prometheus ${newest?.source.prometheusVersion} or later` }
  return { area, name, status: 'ok', detail: formatVersion(version) }
}

async function checkTarget(context: DoctorContext): Promise<DoctorCheck> {
  const name = 'target directory'
  const target = context.settings.target
  if (target === undefined) return { area, name, status: 'ok', detail: 'not configured: give --target' }
  const { state } = await directoryContents(target)
  if (state === 'symbolic link' || state === 'not a directory') {
    return { area, name, status: 'warn', detail: `${target} is ${state === 'symbolic link' ? 'a symbolic link' : 'not a directory'}: restores there are refused`, advice: 'set restore.target to a directory, or to a path that does not exist yet' }
  }
  const obstacle = await writeObstacle(target)
  if (obstacle === 'read-only') return { area, name, status: 'warn', detail: `${target} is on a file system that is mounted read-only`, advice: 'see why (dmesg, mount), or set restore.target to another directory' }
  if (obstacle === 'denied') return { area, name, status: 'warn', detail: `${target} is not writable for uid ${context.host.uid}`, advice: 'restore as root or as its owner' }
  const { path } = await directoryFacts(target)
  return { area, name, status: 'ok', detail: path === target ? target : `${target}, which is not there yet, in ${path}` }
}

/** Nothing where none is configured: then it is the source's, which only the recovery point knows. */
async function checkOwner({ settings: { owner }, ownerNumbers }: DoctorContext): Promise<DoctorCheck[]> {
  if (owner === undefined) return []
  const numbers = await ownerNumbers(owner)
  if (numbers === undefined) return [{ area, name: 'owner', status: 'warn', detail: `this host has no user or group ${owner}: restores here are refused`, advice: 'set restore.owner to user:group that exist here, or to numbers' }]
  return [{ area, name: 'owner', status: 'ok', detail: `${owner} (${numbers.uid}:${numbers.gid})` }]
}

/** History that a restored server would throw away again within a minute. */
function checkRetention(context: DoctorContext, newest: StoredRecoveryPoint): DoctorCheck {
  const name = 'retention against history'
  const retentionMs = context.settings.retentionMs ?? newest.source.retention.timeMs
  if (retentionMs === null) return { area, name, status: 'ok', detail: 'no retention by time' }
  const limit = context.clock.now().getTime() - retentionMs
  const blocks = allBlocks(newest)
  const doomed = blocks.filter((block) => block.maxTime < limit).length
  if (doomed === 0) return { area, name, status: 'ok', detail: `every block of the newest recovery point is younger than ${formatDuration(retentionMs)}` }
  return { area, name, status: 'warn', detail: `${doomed} of ${blocks.length} blocks are older than ${formatDuration(retentionMs)}: a restored server deletes them within a minute`, advice: 'raise --storage.tsdb.retention.time on the server to be restored if they are wanted' }
}
