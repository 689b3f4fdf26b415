import { type RestoreMoment, type RestorePlan, planRestore } from '../../domain/restore-plan.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { documentName, recoveryPointKey, recoveryPointsPrefix } from '../../repository/layout.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { type RepositorySource, type Sources, outOfReach, pointsOf } from '../repository-sources.ts'
import { type NamedUnit, checkListing, namedUnits } from '../verify/verify-objects.ts'

export interface ChoiceRequest {
  instance: string
  at: RestoreMoment
  nearest: boolean
  signal: AbortSignal
}

export interface RestoreChoice {
  plan: RestorePlan<StoredRecoveryPoint>
  /** Where to read from, in this order. */
  sources: RepositorySource[]
  /** By the name of the repository: keys of objects that it lost or has in another size, and what is wrong. */
  lost: Map<string, Map<string, string>>
  /** Manifests of the chosen recovery point that cannot be read, and are not needed. */
  repaired: { key: string; from: string; reason: string }[]
}

/**
 * Plans a restore and looks whether every object that it needs is in some repository, before anything is touched.
 * `latest` passes over a recovery point that is damaged or incomplete (in a replicated bucket a manifest may arrive
 * before its blocks), and says so; one that was asked for is an error.
 * @throws NO_RECOVERY_POINT, MOMENT_UNREACHABLE, DAMAGED naming the first object
 */
export async function chooseRestore(sources: Sources, request: ChoiceRequest): Promise<RestoreChoice> {
  const { instance, at } = request
  const unreadable = unreadableManifests(sources, instance)
  const passedOver = new Map<string, string>()
  for (const [id, damage] of unreadable) {
    if (at.kind === 'recovery-point' && at.id === id) throw damaged(damage.key, damage.reason)
    if (at.kind === 'latest') passedOver.set(id, `${damage.key} is damaged: ${damage.reason}`)
  }
  let firstLoss: PromDrError | undefined
  for (;;) {
    const usable = sources.repositories.map((source) => ({ name: source.name, points: pointsOf(source, instance).filter(({ id }) => !passedOver.has(id)) }))
    const [newestUnreadable] = [...unreadable.values()].sort((a, b) => (a.key < b.key ? 1 : -1))
    if (firstLoss === undefined && newestUnreadable !== undefined && usable.every(({ points }) => points.length === 0)) throw damaged(newestUnreadable.key, newestUnreadable.reason)
    if (firstLoss !== undefined && usable.every(({ points }) => points.length === 0)) throw firstLoss
    const plan = planRestore(usable, at, request)
    const found = await findObjects(sources, { ...request, plan })
    if (found.missing === undefined) return { ...found, plan: explained(found.plan, passedOver), repaired: replacedManifests(sources, instance, found.plan) }
    firstLoss ??= damaged(found.missing.key, found.missing.reason)
    if (at.kind !== 'latest') throw firstLoss
    passedOver.set(plan.point.id, `${found.missing.key}: ${found.missing.reason}`)
  }
}

/** Ids whose manifests exist and can be read in no repository. */
function unreadableManifests(sources: Sources, instance: string): Map<string, { key: string; reason: string }> {
  const readable = new Set(sources.repositories.flatMap((source) => pointsOf(source, instance).map(({ id }) => id)))
  const unreadable = new Map<string, { key: string; reason: string }>()
  for (const { key, reason } of damagedManifests(sources, instance)) {
    const id = documentName(key, recoveryPointsPrefix(instance))
    if (id !== undefined && !readable.has(id)) unreadable.set(id, { key, reason })
  }
  return unreadable
}

function damagedManifests(sources: Sources, instance: string): { key: string; reason: string; repository: string }[] {
  return sources.repositories.flatMap((source) => (source.instances.find(({ name }) => name === instance)?.damaged ?? []).map((damage) => ({ ...damage, repository: source.name })))
}

function replacedManifests(sources: Sources, instance: string, plan: RestorePlan<StoredRecoveryPoint>): RestoreChoice['repaired'] {
  const key = recoveryPointKey(instance, plan.point.id)
  return damagedManifests(sources, instance).filter((damage) => damage.key === key).map((damage) => ({ key, from: plan.sources[0] ?? '', reason: `${damage.repository}: ${damage.reason}` }))
}

/** Says what was damaged before it was backed up, and what was passed over, where it was newer than what is restored. */
function explained(found: RestorePlan<StoredRecoveryPoint>, passedOver: ReadonlyMap<string, string>): RestorePlan<StoredRecoveryPoint> {
  const damage = (found.point.damagedAtSource ?? []).map(({ ulid, reason }) => `block ${ulid} was damaged on the server's own disk when ${found.point.id} was made: ${reason}; an older recovery point may have it whole`)
  const plan = { ...found, warnings: [...found.warnings, ...damage] }
  const newer = [...passedOver].filter(([id]) => id > plan.point.id)
  if (newer.length === 0) return plan
  return { ...plan, stoppedBy: 'damaged', warnings: [...plan.warnings, ...newer.map(([id, reason]) => `recovery point ${id} is newer and cannot be restored: ${reason}`)] }
}

type Found = Pick<RestoreChoice, 'plan' | 'sources' | 'lost'> & { missing: { key: string; reason: string } | undefined }

/** Looks for the objects of the plan in every repository. Repositories may name other blocks for one recovery point: each one's own version is tried. */
async function findObjects(sources: Sources, request: ChoiceRequest & { plan: RestorePlan<StoredRecoveryPoint> }): Promise<Found> {
  const { plan, instance } = request
  const { id } = plan.point
  const copies = sources.repositories.flatMap((source) => pointsOf(source, instance).filter((point) => point.id === id).map((point) => ({ point, from: source.name })))
  const versions = new Map<string, { point: StoredRecoveryPoint; from: string }>()
  for (const copy of copies) {
    const content = copies.length === 1 ? '' : JSON.stringify([copy.point.blocks, copy.point.head])
    if (!versions.has(content)) versions.set(content, copy)
  }
  let first: Found | undefined
  for (const { point, from } of versions.values()) {
    const chosen = planRestore([{ name: from, points: [point] }], { kind: 'recovery-point', id }, request)
    const own = { ...plan, point, blocks: chosen.blocks, sources: [from, ...plan.sources.filter((name) => name !== from)] }
    const found = await findIn(sources, own, request)
    if (found.missing === undefined) return found
    first ??= found
  }
  return first as Found
}

async function findIn(sources: Sources, plan: RestorePlan<StoredRecoveryPoint>, request: ChoiceRequest): Promise<Found> {
  const units = namedUnits([plan.point])
  const rank = ({ name }: RepositorySource) => (plan.sources.includes(name) ? plan.sources.indexOf(name) : plan.sources.length)
  const ordered = [...sources.repositories].sort((a, b) => rank(a) - rank(b))
  const listed = await Promise.all(ordered.map((source) => listLost(sources, source, { units, ...request })))
  const lost = new Map(ordered.flatMap(({ name }, at) => (listed[at] === undefined ? [] : [[name, listed[at]]])))
  const reachable = ordered.filter(({ name }) => lost.has(name))
  const [down] = sources.unreachable
  if (reachable.length === 0 && down !== undefined) throw new PromDrError(down.code, down.message)
  const [firstLost = new Map<string, string>(), ...others] = lost.values()
  const key = [...firstLost.keys()].find((candidate) => others.every((other) => other.has(candidate)))
  const missing = key === undefined ? undefined : { key, reason: [...lost].map(([name, keys]) => `${name}: ${keys.get(key)}`).join('; ') }
  return { plan, sources: reachable, lost, missing }
}

/** Undefined for a repository that has gone out of reach, while another one is left. */
async function listLost(sources: Sources, source: RepositorySource, request: ChoiceRequest & { units: readonly NamedUnit[] }): Promise<Map<string, string> | undefined> {
  try {
    const { damaged: lost } = await checkListing(source.store, request.units, { instances: [request.instance], signal: request.signal })
    return new Map(lost.map(({ key, reason }) => [key, reason]))
  } catch (error) {
    if (!hasCode(error, ...outOfReach) || sources.repositories.length === 1) throw error
    sources.unreachable.push({ repository: source.name, url: source.store.url, code: error.code, message: messageOf(error) })
    return undefined
  }
}

function damaged(key: string, reason: string): PromDrError {
  return new PromDrError('DAMAGED', `the restore was refused, nothing was changed: ${key} is damaged or missing: ${reason}`, {
    hint: 'run "prom-dr verify" to see what is whole, and restore another recovery point with --at; or bring the object back from a replica of the repository',
    details: { key },
  })
}
