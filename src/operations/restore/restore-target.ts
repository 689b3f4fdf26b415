import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type PreflightCheck, type TargetFacts, preflight } from '../../domain/restore-preflight.ts'
import type { RestorePlan } from '../../domain/restore-plan.ts'
import { blockBytes } from '../../domain/recovery-point.ts'
import { canReadDataOf, formatVersion, parsePrometheusVersion, type PrometheusVersion } from '../../domain/prometheus-version.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { directoryFacts, liesIn, sameDirectory, writeObstacle } from '../../tsdb/data-directory-access.ts'
import { directoryContents } from '../../tsdb/data-directory.ts'
import { type IncompleteRestore, type Ownership, readIncomplete, stagedBytes } from '../../tsdb/restore-directory.ts'
import type { RestoreRequest } from './restore-report.ts'

/** How the place of a restore is looked at; given by compose. */
export interface TargetProbe {
  /** The configured server, which may be running on the target. */
  prometheus: PrometheusApi
  processesUsing(directory: string): Promise<string[]>
  ownerNumbers(owner: string): Promise<Ownership | undefined>
  /** Version of the Prometheus program on this host; undefined when there is none. */
  localVersion(): Promise<PrometheusVersion | undefined>
  /** This process's user id. */
  uid: number
  /** Of the groups that it may give files to. */
  gids: readonly number[]
}

export interface TargetJudgement {
  checks: PreflightCheck[]
  owner: Ownership
  /** An interrupted restore of the same recovery point, which this one goes on with. */
  resume: IncompleteRestore | undefined
}

export interface JudgeRequest {
  target: string
  plan: RestorePlan<StoredRecoveryPoint>
  /** That everything is cut at, RFC 3339; null takes all there is. */
  moment: string | null
  request: RestoreRequest
  configuredOwner?: string | undefined
  configuredRetentionMs?: number | undefined
  /** URLs of all repositories. */
  repositories: readonly string[]
  nowMs: number
  signal: AbortSignal
}

/** In a disaster the configured server is down, and its host may swallow packets: nobody waits long for it. */
const serverTimeoutMs = 3000

/**
 * Looks at the target and decides whether the restore may begin. Nothing is changed.
 * @throws PREFLIGHT_REFUSED where it may not even be looked at
 */
export async function judgeTarget(probe: TargetProbe, judge: JudgeRequest): Promise<TargetJudgement> {
  try {
    return await lookAndJudge(probe, judge)
  } catch (error) {
    if (!hasCode(error, 'DATA_DIR_UNREADABLE')) throw error
    throw new PromDrError('PREFLIGHT_REFUSED', `the restore was refused, nothing was changed: target directory: ${error.message}`, {
      hint: 'run as the owner of the directory or as root, or restore to another --target', cause: error,
    })
  }
}

async function lookAndJudge(probe: TargetProbe, judge: JudgeRequest): Promise<TargetJudgement> {
  const { plan, request, nowMs } = judge
  const target = resolve(judge.target)
  const { source, createdAt, id, instance } = plan.point
  const contents = await directoryContents(target)
  const usable = contents.state !== 'not a directory' && contents.state !== 'symbolic link'
  const place = await directoryFacts(usable ? target : resolve(target, '..'))
  const note = usable ? await readIncomplete(target) : undefined
  // What another moment of it has begun to put in place stays: it is not what is asked for now.
  const sameMoment = note?.phase === 'staging' || (note?.moment ?? null) === judge.moment
  const resume = note?.recoveryPoint === id && note.instance === instance && sameMoment ? note : undefined
  // Once names are being put in place, those are not in the way of the run that goes on; anything else still is.
  const names = resume?.phase === 'placing' ? contents.names.filter((name) => !resume.names.includes(name)) : contents.names
  const state = contents.state === 'occupied' && names.length === 0 ? 'empty' : contents.state
  const obstacle = usable ? await writeObstacle(target) : undefined
  const owner = await chooseOwner(probe, judge, { state: contents.state, uid: place.uid, gid: place.gid })
  const version = await probe.localVersion()
  const facts: TargetFacts = {
    path: target,
    state,
    names,
    repositories: await overlapping(target, judge.repositories),
    writable: usable && obstacle === undefined,
    readOnly: obstacle === 'read-only',
    freeBytes: place.freeBytes,
    usedBy: usable && contents.state !== 'missing' ? await usersOf(probe, target, judge.signal) : [],
    otherRestore: note !== undefined && resume === undefined ? note.recoveryPoint : undefined,
    resumes: resume !== undefined,
    version: version === undefined ? undefined : readability(version, source.prometheusVersion),
    owner,
  }
  const planBytes = plan.blocks.reduce((sum, block) => sum + blockBytes(block), 0)
  const neededBytes = resume === undefined ? planBytes : resume.phase === 'placing' ? 0 : Math.max(0, planBytes - (await stagedBytes(target)))
  const checks = preflight(facts, {
    replace: request.replace,
    sideInstance: request.sideInstance,
    neededBytes,
    retentionMs: request.retentionMs ?? judge.configuredRetentionMs ?? source.retention.timeMs,
    sourceVersion: source.prometheusVersion,
    continuesSource: request.at.kind === 'latest',
    createdAt,
    sourceRetentionMs: source.retention.timeMs,
    blocks: plan.blocks,
    nowMs,
  })
  if (request.start && version === undefined) checks.push({ name: 'Prometheus program', ok: false, detail: 'none on this host: --start cannot ask it', advice: 'install prometheus here, set prometheus.binary, or restore without --start' })
  return { checks, owner: owner.ownership, resume }
}

/** A target in a repository, or around one, would mix the two; --replace would take the repository away. */
async function overlapping(target: string, urls: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const url of urls.filter((each) => each.startsWith('file:'))) {
    const root = fileURLToPath(url)
    if ((await liesIn(target, root)) || (await liesIn(root, target))) found.push(url)
  }
  return found
}

/** Whoever has files open there, and the configured server when it says that the directory is its own. */
async function usersOf(probe: TargetProbe, target: string, signal: AbortSignal): Promise<string[]> {
  const users = await probe.processesUsing(target)
  try {
    const served = await probe.prometheus.dataDirectory({ timeoutMs: serverTimeoutMs, signal })
    if ((await sameDirectory(served, target)) === true) users.push(`the server at ${probe.prometheus.url}`)
  } catch (error) {
    if (!hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_NOT_READY', 'PROMETHEUS_BAD_RESPONSE', 'CONFIG_INVALID')) throw error
  }
  return users
}

function readability(version: PrometheusVersion, sourceVersion: string): { version: string; reads: boolean; rule: string } {
  const source = parsePrometheusVersion(sourceVersion)
  if (source === undefined) return { version: formatVersion(version), reads: true, rule: 'the source\'s version is not a release number' }
  const result = canReadDataOf(version, source)
  const rule = result.readable ? (result.warning ?? 'it reads what it has to') : result.reason
  return { version: formatVersion(version), reads: result.readable, rule }
}

/**
 * Who the files will belong to: --owner, the configuration, the owner of the directory that is there, or the source's, by
 * its name where this host has it. A data directory of root under a server that runs as `prometheus` makes it panic.
 */
async function chooseOwner(probe: TargetProbe, judge: JudgeRequest, place: { state: string; uid: number; gid: number }): Promise<TargetFacts['owner'] & { ownership: Ownership }> {
  const asked = judge.request.owner ?? judge.configuredOwner
  const recorded = judge.plan.point.source.owner
  const self = { uid: probe.uid, gid: place.gid }
  let ownership: Ownership | undefined
  let from: string
  if (asked !== undefined) {
    ownership = await probe.ownerNumbers(asked)
    from = asked
    if (ownership === undefined) return { ok: false, detail: `this host has no user or group ${asked}`, advice: 'give --owner as user:group that exist here, or as numbers', ownership: self }
  } else if (place.state !== 'missing' && place.uid !== 0) {
    ownership = place
    from = 'the directory that is there'
  } else {
    from = `the source's (${recorded.user ?? recorded.uid})`
    ownership = recorded.user === null ? recorded : await probe.ownerNumbers(recorded.group === null ? recorded.user : `${recorded.user}:${recorded.group}`)
    if (ownership === undefined) return { ok: false, detail: `the source's data belonged to ${recorded.user}, and this host has no such user`, advice: 'give --owner USER[:GROUP] of the server that will use the directory', ownership: self }
  }
  const detail = `${ownership.uid}:${ownership.gid}, from ${from}`
  if (probe.uid !== 0 && ownership.uid !== probe.uid) {
    return { ok: false, detail: `${detail}, but this process runs as ${probe.uid} and cannot hand files over`, advice: 'run as root, or give --owner with your own user', ownership }
  }
  if (probe.uid !== 0 && !probe.gids.includes(ownership.gid)) {
    return { ok: false, detail: `${detail}, but this process is not in group ${ownership.gid} and cannot hand files over to it`, advice: 'run as root, or give --owner with your own user and group', ownership }
  }
  return { ok: true, detail, ownership: { uid: ownership.uid, gid: ownership.gid } }
}
