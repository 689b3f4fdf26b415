import { formatByteSize } from './byte-size.ts'
import { formatDuration } from './duration.ts'
import type { NamedBlock } from './recovery-point.ts'
import { isUlid } from './ulid.ts'

/** A check made before anything is touched. */
export interface PreflightCheck {
  name: string
  ok: boolean
  detail: string
  /** What to do; present when it is not ok. */
  advice?: string
}

/** What was found out about the place and the server that a restore is for. */
export interface TargetFacts {
  path: string
  state: 'missing' | 'symbolic link' | 'not a directory' | 'empty' | 'occupied'
  /** What occupies it. */
  names: readonly string[]
  writable: boolean
  /** Its file system is mounted read-only: no user can write there. */
  readOnly: boolean
  /** URLs of repositories that lie in it, or that it lies in. */
  repositories: readonly string[]
  freeBytes: number
  /** Programs that have files below it open, and servers that say it is theirs. */
  usedBy: readonly string[]
  /** An interrupted restore of something else that left its staging here. */
  otherRestore: string | undefined
  /** An interrupted restore of the same, which this one goes on with, is there. */
  resumes: boolean
  /** Version of the Prometheus that will read it; undefined when none was found. */
  version: { version: string; reads: boolean; rule: string } | undefined
  /** Who the files will belong to; undefined with the reason when that cannot be done. */
  owner: { ok: boolean; detail: string; advice?: string }
}

export interface PreflightRequest {
  replace: boolean
  sideInstance: boolean
  /** Bytes still to be fetched. */
  neededBytes: number
  /** Retention by time of the server that will use the target, ms; null is none. */
  retentionMs: number | null
  sourceVersion: string
  /** `latest` continues the lost server; any other moment is asked for its own sake. */
  continuesSource: boolean
  /** ms */
  createdAt: number
  sourceRetentionMs: number | null
  blocks: readonly NamedBlock[]
  nowMs: number
}

/** Free space that a restore leaves: a server that starts on a full disk is no help. */
const reserveBytes = 64 * 1024 * 1024
/** Scrapes accept samples this far ahead (Prometheus, scrape.maxAheadTime). */
const maxAheadMs = 10 * 60_000
/** Out-of-order blocks are aligned to their range, so that their end may lie in the future. */
const outOfOrderAlignmentMs = 2 * 3_600_000

/** Every refusal of a restore, decided in one place. */
export function preflight(facts: TargetFacts, request: PreflightRequest): PreflightCheck[] {
  return [
    checkPlace(facts, request),
    check('no server on the target', facts.usedBy.length === 0, facts.usedBy.length === 0 ? 'nothing has it open' : `in use by ${firstOf(facts.usedBy)}`, 'stop that server first, or restore to another --target'),
    checkSpace(facts, request),
    checkFuture(request),
    checkRetention(request),
    checkVersion(facts, request),
    { name: 'owner', ...facts.owner },
  ]
}

function checkPlace(facts: TargetFacts, request: PreflightRequest): PreflightCheck {
  const name = 'target directory'
  const { path, state } = facts
  if (state === 'symbolic link') return check(name, false, `${path} is a symbolic link`, 'give the directory that it leads to, or remove it')
  if (state === 'not a directory') return check(name, false, `${path} is not a directory`, 'give a directory, or a path that does not exist yet')
  if (facts.repositories.length > 0) return check(name, false, `${path} and the repository ${facts.repositories.join(', ')} lie one in the other`, 'give a --target apart from every repository')
  if (facts.readOnly) return check(name, false, `${path} is on a file system that is mounted read-only`, 'see why (dmesg, mount): a kernel that met errors of the disk mounts it so; or restore to another --target')
  if (!facts.writable) return check(name, false, `${path} is not writable for this user`, 'run as the owner of the directory or as root')
  if (facts.otherRestore !== undefined && !request.replace) {
    return check(name, false, `${path} holds an interrupted restore of ${facts.otherRestore}`, `finish it with --at ${facts.otherRestore}, or give --replace to move it aside`)
  }
  const shown = firstOf(facts.names)
  if (state === 'occupied' && !request.replace) {
    return check(name, false, `${path} is not empty: ${shown}`, 'give an empty --target, or --replace to move its content aside (nothing is deleted)')
  }
  if (state === 'occupied' && !facts.resumes && facts.otherRestore === undefined && !facts.names.some(isOfServer)) {
    return check(name, false, `${path} is no data directory of Prometheus: it holds ${shown}`, 'check --target; where it is right, move what is in there away first')
  }
  return check(name, true, state === 'missing' ? `${path} will be made` : state === 'empty' ? `${path} is empty` : `${path} is not empty: its content will be moved aside`)
}

/** What a server keeps in its data directory: one of these says that --replace moves a server's data aside, and not a home. */
const namesOfServer = new Set(['wal', 'wbl', 'chunks_head', 'lock', 'queries.active', 'snapshots'])

function isOfServer(name: string): boolean {
  return namesOfServer.has(name) || isUlid(name)
}

function firstOf(names: readonly string[]): string {
  return names.slice(0, 5).join(', ') + (names.length > 5 ? `… (${names.length})` : '')
}

function checkSpace(facts: TargetFacts, request: PreflightRequest): PreflightCheck {
  const wanted = request.neededBytes + reserveBytes
  return check('space', facts.freeBytes >= wanted, `${formatByteSize(facts.freeBytes)} free, ${formatByteSize(wanted)} needed`, `free ${formatByteSize(wanted - facts.freeBytes)} on the file system of ${facts.path}, or restore to another --target`)
}

/** One block dated ahead makes a server refuse every live sample as out of bounds. */
function checkFuture(request: PreflightRequest): PreflightCheck {
  const ahead = request.blocks.find((block) => block.maxTime > request.nowMs + (block.inOrder ? maxAheadMs : outOfOrderAlignmentMs))
  if (ahead === undefined) return check('no block in the future', true, 'none is')
  return check('no block in the future', false, `block ${ahead.ulid} ends at ${iso(ahead.maxTime)}, now is ${iso(request.nowMs)}`, 'check the clock of this host; a server with such a block refuses every new sample')
}

/**
 * A live server deletes blocks beyond its retention a minute after its first new block, counted from now. What the lost
 * server would have deleted by now as well is no loss of a restore that continues it.
 */
function checkRetention(request: PreflightRequest): PreflightCheck {
  const name = 'retention'
  const { retentionMs, nowMs } = request
  if (request.sideInstance) return check(name, true, 'not judged: the target will not go live')
  if (retentionMs === null) return check(name, true, 'no retention by time is known')
  const limit = nowMs - retentionMs
  const doomed = request.blocks.filter((block) => block.maxTime < limit)
  const oldest = doomed.reduce<NamedBlock | undefined>((found, block) => (found === undefined || block.maxTime < found.maxTime ? block : found), undefined)
  if (oldest === undefined) return check(name, true, `every block is younger than ${formatDuration(retentionMs)}`)
  const detail = `${doomed.length} of ${request.blocks.length} blocks are older than ${formatDuration(retentionMs)} counted from now; the oldest ends at ${iso(oldest.maxTime)}`
  const aged = doomed.every((block) => block.maxTime >= request.createdAt - retentionMs) && request.sourceRetentionMs !== null && retentionMs >= request.sourceRetentionMs
  if (request.continuesSource && aged && doomed.length < request.blocks.length) {
    return check(name, true, `${detail}: the server will delete them, as the lost one would have by now`)
  }
  const wanted = formatDuration(roundUpToDays(nowMs - oldest.minTime))
  return check(name, false, `${detail}: a live server deletes them within a minute`, `start it with --storage.tsdb.retention.time=${wanted} and restore with --retention ${wanted}; or restore with --side-instance for a server that only answers queries`)
}

function checkVersion(facts: TargetFacts, request: PreflightRequest): PreflightCheck {
  if (facts.version === undefined) return check('version', true, `not checked: no Prometheus found here; the data is of ${request.sourceVersion}`)
  const { version, reads, rule } = facts.version
  return check('version', reads, `data of Prometheus ${request.sourceVersion}, read by ${version}: ${rule}`, `install Prometheus ${request.sourceVersion} or newer on this host`)
}

function check(name: string, ok: boolean, detail: string, advice?: string): PreflightCheck {
  return ok || advice === undefined ? { name, ok, detail } : { name, ok, detail, advice }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function roundUpToDays(durationMs: number): number {
  const dayMs = 86_400_000
  return (Math.floor(durationMs / dayMs) + 1) * dayMs
}
