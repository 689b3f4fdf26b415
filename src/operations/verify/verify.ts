import pLimit from 'p-limit'
import type { Encryption } from '../../domain/encryption.ts'
import type { Progress } from '../../domain/progress.ts'
import { chooseGroup, groupOf } from '../../domain/read-subset.ts'
import { allBlocks, holdsTsdb, recoveryPointBytes } from '../../domain/recovery-point.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { readIdentity } from '../../repository/identity.ts'
import { decodeKnownAnswers } from '../../repository/known-answers-codec.ts'
import { openAnswers } from '../../repository/sealed-answers.ts'
import { identityKey } from '../../repository/layout.ts'
import { listInstances } from '../../repository/recovery-points.ts'
import { readVerifications, recordVerification } from '../../repository/records.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { type ScratchOptions, withPrivateScratch } from '../../packing/scratch-directory.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import { directoryFacts } from '../../tsdb/data-directory-access.ts'
import { handOver } from '../../tsdb/restore-directory.ts'
import { type StartServer, checkAnswers } from '../answers/answer-check.ts'
import { type RepositorySource, type Sources, damageOf, readSources, requireInstance } from '../repository-sources.ts'
import { fetchBlocks } from '../restore/restore-fetch.ts'
import type { NamedStore } from '../backup/backup.ts'
import { Stopwatch } from '../stopwatch.ts'
import { checkArchives } from '../components/verify-archives.ts'
import { type ListedDamage, type NamedUnit, checkListing, namedUnits, selectPoints } from './verify-objects.ts'
import { readUnits } from './verify-read.ts'
import { checkStreams } from './verify-stream.ts'
import type { AnswersReport, VerifyReport, VerifyRequest } from './verify-report.ts'

export interface VerifyContext {
  /** As configured: whose latest. */
  instance: string
  repositories: readonly NamedStore[]
  startServer: StartServer
  /** Where recovery points are restored to for --start-server, and archives lie in the clear while their content is compared. */
  scratch: ScratchOptions
  /** What sealed known answers and archives are opened with. */
  opening?: Pick<Encryption, 'decrypt'> | undefined
  settings: { filesAtOnce: number }
  clock: Clock
  logger: Logger
  progress: Progress
  signal: AbortSignal
}

/** Earlier verifications that are looked at to choose the next part. */
const rememberedVerifications = 1000

/**
 * Checks that what recovery points name is there: by listing always, byte by byte with `readData`, by a server's answers
 * with `startServer`. Damage is in the report, by object; it is not an error of the verification.
 * @throws the first repository's error when none can be read, NO_RECOVERY_POINT for an id that none has, INSTANCE_NOT_FOUND
 */
export async function verify(context: VerifyContext, asked: VerifyRequest): Promise<VerifyReport> {
  const watch = new Stopwatch(context.clock)
  const sources = await readSources(context.repositories, { ...asked, signal: context.signal })
  if (asked.instance !== undefined) await keepWhatIsThere(sources, asked.instance, context.signal)
  const request = { ...asked, ids: await idsOf(context, sources, asked) }
  requireIds(sources, request.ids)
  const report: VerifyReport = { ok: true, checkedRecoveryPoints: 0, checkedObjects: 0, listedBytes: 0, checkedBytes: 0, checkedChunks: 0, damaged: [], subset: null, answers: [], durationMs: 0, unreachable: sources.unreachable, warnings: [] }
  for (const { repository, code, key, message } of sources.unreachable) {
    if (code === 'DAMAGED') report.damaged.push({ repository, key: key ?? '', reason: message, recoveryPoints: [] })
  }
  for (const source of sources.repositories) await verifyRepository(context, { request, source, report })
  if (request.startServer) {
    for (const point of answeringPoints(sources, request)) await askPoint(context, { sources, point, watch, report })
  }
  context.progress.finish()
  report.ok = report.damaged.length === 0 && report.answers.every((answers) => answers.equal)
  report.durationMs = watch.totalMs()
  return report
}

/** A mistyped name is not to be called sound, nor to get a record, which would make it look like an instance. @throws INSTANCE_NOT_FOUND */
async function keepWhatIsThere(sources: Sources, instance: string, signal: AbortSignal): Promise<void> {
  const absent = await Promise.all(sources.repositories.map(async ({ store }) => !(await listInstances(store, { signal })).includes(instance)))
  if (absent.every(Boolean)) await requireInstance(sources, instance, signal)
  for (const [at, source] of sources.repositories.entries()) if (absent[at] === true) source.instances = []
}

interface RepositoryRun {
  request: VerifyRequest
  source: RepositorySource
  report: VerifyReport
}

async function verifyRepository(context: VerifyContext, run: RepositoryRun): Promise<void> {
  const { request, source, report } = run
  const points = selectPoints(source.instances.flatMap((instance) => instance.points), request.ids)
  const instances = source.instances.map((instance) => instance.name)
  const units = namedUnits(points)
  const add = (found: readonly ListedDamage[]) => report.damaged.push(...found.map((damage) => ({ repository: source.name, ...damage })))
  const named = request.ids.map((id) => `/${id}.json`)
  const isAsked = (key: string) => request.ids.length === 0 || source.damaged.some((own) => own.key === key) || named.some((end) => key.endsWith(end))
  report.damaged.push(...damageOf(source).filter(({ key }) => isAsked(key)).map((damage) => ({ ...damage, recoveryPoints: [] })))
  add(await damagedIdentities(source, points, context.signal))
  const listing = await checkListing(source.store, units, { instances, signal: context.signal })
  add(listing.damaged)
  report.checkedRecoveryPoints += points.length
  report.checkedObjects += listing.objects + points.length + instances.length
  report.listedBytes += listing.bytes
  const part = request.readData || request.subset !== undefined ? await readPart(context, { ...run, units, known: new Set(listing.damaged.map((damage) => damage.key)) }) : undefined
  if (part !== undefined) {
    add(part.damaged)
    report.checkedBytes += part.bytes
    report.checkedChunks += part.chunks
    report.subset = request.subset === undefined ? null : { group: part.group, groups: part.groups }
  }
  const archives = await checkArchives(source, { points, read: part, opening: context.opening, scratch: context.scratch, signal: context.signal })
  add(archives.damaged)
  report.checkedObjects += archives.objects
  report.listedBytes += archives.listedBytes
  report.checkedBytes += archives.readBytes
  if (archives.unopened > 0) report.warnings.push(`${archives.unopened} archives in ${source.name} are encrypted, and no key here opens them: their bytes are right, what is in them was not looked at (encryption.identityFile)`)
  if (request.ids.length === 0) {
    for (const instance of instances) {
      const stream = await checkStreams(source, instance, { read: part, signal: context.signal })
      add(stream.damaged)
      report.checkedObjects += stream.objects
      report.listedBytes += stream.listedBytes
      report.checkedBytes += stream.readBytes
    }
    await keepRecords(context, run, { instances, group: part?.group ?? 1, groups: part?.groups ?? 1, readData: part !== undefined })
  }
}

/** `instance.json` of every instance that has recovery points: without it anybody may write under the name. */
async function damagedIdentities(source: RepositorySource, points: readonly StoredRecoveryPoint[], signal: AbortSignal): Promise<ListedDamage[]> {
  const found: ListedDamage[] = []
  for (const instance of new Set(points.map((point) => point.instance))) {
    const damage = { key: identityKey(instance), recoveryPoints: [] }
    try {
      if ((await readIdentity(source.store, instance, { signal })) === undefined) found.push({ ...damage, reason: 'it is missing' })
    } catch (error) {
      if (!hasCode(error, 'DAMAGED')) throw error
      found.push({ ...damage, reason: messageOf(error) })
    }
  }
  return found
}

async function readPart(context: VerifyContext, run: RepositoryRun & { units: NamedUnit[]; known: ReadonlySet<string> }) {
  const { source, request } = run
  const earlier = (await Promise.all(source.instances.map((instance) => readVerifications(source.store, instance.name, { limit: rememberedVerifications, signal: context.signal })))).flat()
  const { group, groups } = request.subset === undefined ? { group: 1, groups: 1 } : chooseGroup(request.subset, earlier)
  const chosen = run.units.filter((unit) => groupOf(unit.name, groups) === group)
  context.progress.start(`reading ${source.name}`, chosen.reduce((sum, unit) => sum + unitBytes(unit), 0))
  const result = await readUnits(chosen, { store: source.store, known: run.known, limit: pLimit(context.settings.filesAtOnce), progress: context.progress, signal: context.signal })
  return { ...result, group, groups }
}

function unitBytes(unit: NamedUnit): number {
  return unit.kind === 'tombstones' ? unit.sizeBytes : Object.values(unit.block.files).reduce((sum, sizeBytes) => sum + sizeBytes, 0)
}

/** Without its record a verification still stands; the next one by percentage then reads the same part again. */
async function keepRecords(context: VerifyContext, run: RepositoryRun, part: { instances: string[]; group: number; groups: number; readData: boolean }): Promise<void> {
  const { source, report } = run
  const damaged = report.damaged.filter((damage) => damage.repository === source.name)
  for (const instance of part.instances) {
    try {
      await recordVerification(source.store, instance, { at: context.clock.now(), record: { readData: part.readData, group: part.group, groups: part.groups, ok: damaged.length === 0, damaged: damaged.slice(0, 100) }, signal: context.signal })
    } catch (error) {
      context.signal.throwIfAborted()
      context.logger.warn({ repository: source.name, error: messageOf(error) }, 'the record of this verification could not be kept')
      report.warnings.push(`the record of this verification could not be kept in ${source.name}: ${messageOf(error)}`)
    }
  }
}

async function idsOf({ instance: configured, signal }: VerifyContext, sources: Sources, { ids, instance = configured }: VerifyRequest): Promise<string[]> {
  if (!ids.includes('latest')) return ids
  await requireInstance(sources, instance, signal)
  // One that cannot be read is the newest all the same: passing over it would be to say that all is well.
  const newest = sources.repositories.flatMap(({ instances }) => instances.filter(({ name }) => name === instance).flatMap((one) => [...one.points.map(({ id }) => id), ...idsOfDamaged(one)])).sort().at(-1)
  return ids.flatMap((id) => (id === 'latest' ? (newest ?? []) : id))
}

function idsOfDamaged({ damaged }: RepositorySource['instances'][number]): string[] {
  return damaged.flatMap(({ key }) => /\/recovery-points\/(\d{8}T\d{6}Z-[^/]+)\.json$/.exec(key)?.[1] ?? [])
}

function requireIds(sources: Sources, ids: readonly string[]): void {
  const known = new Set(sources.repositories.flatMap((source) => source.instances.flatMap((instance) => [...instance.points.map((point) => point.id), ...idsOfDamaged(instance)])))
  const unknown = ids.filter((id) => !known.has(id))
  if (unknown.length > 0) throw new PromDrError('NO_RECOVERY_POINT', `there is no recovery point ${unknown.join(', ')}`, { hint: 'run "prom-dr list" to see the ids' })
}

/** Those named, otherwise the newest of each instance. */
function answeringPoints(sources: Sources, request: VerifyRequest): StoredRecoveryPoint[] {
  const all = sources.repositories.flatMap((source) => source.instances.flatMap((instance) => instance.points)).filter(holdsTsdb)
  const distinct = [...new Map(all.map((point) => [point.id, point])).values()].sort((a, b) => a.createdAt - b.createdAt)
  if (request.ids.length > 0) return selectPoints(distinct, request.ids)
  return [...new Map(distinct.map((point) => [point.instance, point])).values()]
}

/** Damage that only shows when the recovery point is fetched is a finding like any other. */
async function askPoint(context: VerifyContext, run: { sources: Sources; point: StoredRecoveryPoint; watch: Stopwatch; report: VerifyReport }): Promise<void> {
  try {
    run.report.answers.push(await answersOf(context, run))
  } catch (error) {
    if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) throw error
    const key = typeof error.details?.key === 'string' ? error.details.key : run.point.id
    if (run.report.damaged.some((damage) => damage.key === key)) return
    const [source] = run.sources.repositories
    run.report.damaged.push({ repository: source?.name ?? '', key, reason: messageOf(error), recoveryPoints: [run.point.id] })
  }
}

/** Restores a recovery point into a scratch directory and asks a throwaway server. */
async function answersOf(context: VerifyContext, run: { sources: Sources; point: StoredRecoveryPoint; watch: Stopwatch }): Promise<AnswersReport> {
  const { point, sources, watch } = run
  const bytes = recoveryPointBytes(point)
  const { freeBytes } = await directoryFacts(context.scratch.parent)
  if (freeBytes < bytes) {
    throw new PromDrError('PREFLIGHT_REFUSED', `${context.scratch.parent} has ${freeBytes} bytes free; recovery point ${point.id} needs ${bytes}`, { hint: 'set TMPDIR to a directory on a larger file system' })
  }
  return withPrivateScratch(context.scratch, async (directory) => {
    context.progress.start(`restoring ${point.id}`, bytes)
    const head = point.head.kind === 'block' ? point.head.block.ulid : undefined
    await fetchBlocks(allBlocks(point), {
      instance: point.instance,
      sources: sources.repositories.filter((source) => source.instances.some((instance) => instance.points.some(({ id }) => id === point.id))),
      head, staging: directory, limit: pLimit(context.settings.filesAtOnce), progress: context.progress, signal: context.signal,
    })
    const facts = await directoryFacts(directory)
    const owner = { uid: facts.uid, gid: facts.gid }
    await handOver(directory, owner)
    const answers = await decodeKnownAnswers(await openAnswers(point.knownAnswers, context.opening))
    const check = await checkAnswers({ dataDir: directory, recoveryPoint: point.id, source: point.source, answers, owner, startServer: context.startServer, watch, signal: context.signal })
    return check.report
  })
}
