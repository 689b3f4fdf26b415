import { join, resolve } from 'node:path'
import type { ExternalPlace, RestoredComponent } from '../../components/component.ts'
import { type ChosenArchive, componentsAt, planComponents } from '../../domain/component-plan.ts'
import { PromDrError } from '../../errors.ts'
import { isFreePlace, makeDirectoryTree, moveDirectory } from '../../packing/place-directory.ts'
import { makePrivateDirectory, withPrivateScratch } from '../../packing/scratch-directory.ts'
import { instancePrefix } from '../../repository/layout.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { failureOf } from './collect-components.ts'
import type { ComponentsContext } from './components-context.ts'
import { type FetchedComponent, fetchComponent, requireRoom } from './fetch-components.ts'
import type { NamedStore } from '../backup/backup-context.ts'
import { type Sources, allPointsOf, readSources, requireInstance } from '../repository-sources.ts'
import type { RestorePartsRequest, RestoredComponentReport } from './restore-components-report.ts'

export interface RestoreComponentsContext {
  /** As configured; `--instance` overrides it. */
  instance: string
  repositories: readonly NamedStore[]
  components: ComponentsContext
  signal: AbortSignal
}

/** Components that lie ready: nothing has been changed yet. */
export interface PreparedComponents {
  /** When the newest recovery point that something comes from was made, ms. */
  newestMs: number | null
  bytes: number
  repaired: { key: string; from: string; reason: string }[]
  unreachable: Sources['unreachable']
  warnings: string[]
  /** Puts each where it belongs, or says what that would be. One that fails does not stop the others. */
  restore(): Promise<RestoredComponentReport[]>
}

/**
 * Brings components back in two steps: everything is fetched, decrypted, compared with its digests, unpacked and judged by the components'
 * own programs before `use` is called; nothing is changed until `use` calls `restore`.
 * @throws NO_RECOVERY_POINT for a component that no recovery point has, COMPONENT_REFUSED, DAMAGED, KEY_MISSING, PREFLIGHT_REFUSED
 */
export async function withPreparedComponents<T>(context: RestoreComponentsContext, request: RestorePartsRequest, use: (prepared: PreparedComponents) => Promise<T>): Promise<T> {
  const { components, signal } = context
  const instance = request.instance ?? context.instance
  const sources = await readSources(context.repositories, { repositories: request.repositories, instance, signal })
  await requireInstance(sources, instance, signal)
  const { chosen, warnings } = choose(context, { sources, instance, request })
  for (const { component } of chosen) await requirePlace(component, request)
  const target = request.componentsTarget !== undefined && !request.dryRun ? resolve(request.componentsTarget) : undefined
  if (target !== undefined) await makeDirectoryTree(target)
  // Within the target the files are put in place by one rename.
  const scratch = target === undefined ? components.scratch : { ...components.scratch, parent: target }
  return withPrivateScratch(scratch, async (directory) => {
    await requireRoom(chosen, directory)
    const repaired: PreparedComponents['repaired'] = []
    const fetched: FetchedComponent[] = []
    for (const one of chosen) fetched.push(await fetchComponent(one, installerOf(components, one.component), { context: components, sources, instance, directory, repaired, signal }))
    refuseBroken(fetched, request)
    return use({
      newestMs: fetched.length === 0 ? null : Math.max(...fetched.map(({ point }) => point.createdAt)),
      bytes: fetched.reduce((sum, { bytes }) => sum + bytes, 0),
      repaired, unreachable: sources.unreachable, warnings,
      async restore() {
        const reports: RestoredComponentReport[] = []
        for (const one of fetched) reports.push(await restoreOne(one, { context, instance, request, target }))
        return reports
      },
    })
  })
}

/** In the order in which components are configured. */
function choose(context: RestoreComponentsContext, of: { sources: Sources; instance: string; request: RestorePartsRequest }): { chosen: ChosenArchive<StoredRecoveryPoint>[]; warnings: string[] } {
  const { sources, instance, request } = of
  const { at, all = false, only = [], componentsTarget } = request
  const offered = sources.repositories.map((source) => ({ name: source.name, points: allPointsOf(source, instance) }))
  const configured = context.components.components.map(({ component }) => component.name)
  const stored = componentsAt(offered, at)
  const names = all ? [...configured, ...stored.filter((name) => !configured.includes(name) && componentsTarget !== undefined)] : [...new Set(only.map((name) => (name === 'config' ? 'prometheus' : name)))].filter((name) => name !== 'tsdb')
  const rank = (name: string) => (configured.includes(name) ? configured.indexOf(name) : configured.length)
  const { chosen, missing } = planComponents(offered, names.sort((a, b) => rank(a) - rank(b)), at)
  if (missing.length > 0 && !all) {
    throw new PromDrError('NO_RECOVERY_POINT', `no recovery point ${at.kind === 'recovery-point' ? at.id : 'at or before that moment'} has ${missing.join(', ')}`, { hint: stored.length === 0 ? 'run "prom-dr list" to see which recovery points have components' : `there are: ${stored.join(', ')}; "prom-dr show ID --files" lists what is in a recovery point` })
  }
  const strangers = all && componentsTarget === undefined ? stored.filter((name) => !configured.includes(name)) : []
  const warnings = [...missing.map((name) => `${name} is in no recovery point: it was not restored`), ...strangers.map((name) => `${name} is in the recovery point and not configured here: it was not restored; --components-target DIR brings its files`)]
  if (componentsTarget === undefined) for (const one of chosen) requireInstaller(context, one)
  return { chosen, warnings }
}

function installerOf(components: ComponentsContext, name: string) {
  return components.components.find(({ component }) => component.name === name)?.component
}

function requireInstaller({ components }: RestoreComponentsContext, { component: name, archive }: ChosenArchive<StoredRecoveryPoint>): void {
  const installer = installerOf(components, name)
  const hint = 'configure it below "components" as it was at the source, or have its files brought with --components-target DIR'
  if (installer === undefined) throw new PromDrError('COMPONENT_REFUSED', `${name} is not configured on this host, so that there is no place to restore it to`, { hint })
  if (installer.kind !== archive.kind) throw new PromDrError('COMPONENT_REFUSED', `${name} is of the kind ${installer.kind} here, and of the kind ${archive.kind} in the recovery point`, { hint })
}

async function requirePlace(name: string, { componentsTarget }: RestorePartsRequest): Promise<void> {
  if (componentsTarget === undefined) return
  const place = resolve(componentsTarget, name)
  if (!(await isFreePlace(place))) throw new PromDrError('COMPONENT_REFUSED', `${place} is not empty`, { hint: 'nothing was changed; choose another --components-target' })
}

function refuseBroken(fetched: readonly FetchedComponent[], { force = false, componentsTarget, dryRun }: RestorePartsRequest): void {
  if (force || dryRun || componentsTarget !== undefined) return
  const broken = fetched.flatMap(({ component, findings }) => findings.filter(({ level }) => level === 'fail').map((finding) => ({ component, ...finding })))
  if (broken.length === 0) return
  throw new PromDrError('COMPONENT_REFUSED', `the restore was refused, nothing was changed: ${broken.map(({ component, detail }) => `${component}: ${detail}`).join('; ')}`, { hint: `leave ${[...new Set(broken.map(({ component }) => component))].join(', ')} out of --only, have a look with --components-target DIR, restore an earlier moment with --at, or install all the same with --force`, details: { findings: broken } })
}

interface Placing {
  context: RestoreComponentsContext
  instance: string
  request: RestorePartsRequest
  target: string | undefined
}

async function restoreOne(fetched: FetchedComponent, placing: Placing): Promise<RestoredComponentReport> {
  const { archive, point, findings } = fetched
  const report: RestoredComponentReport = {
    component: fetched.component, kind: archive.kind, recoveryPoint: point.id, createdAt: new Date(point.createdAt).toISOString(), repository: fetched.repository,
    files: archive.files.length, bytes: fetched.bytes, ok: true, leftOut: archive.leftOut,
    findings: findings.map(({ name, level, detail, advice }) => ({ name, level: level === 'fail' ? 'fail' : 'warn', detail, ...(advice !== undefined && { advice }) })),
    actions: [], movedAside: [], toReenter: [], warnings: [],
  }
  try {
    const steps = placing.request.componentsTarget === undefined ? await install(fetched, placing) : [await extract(fetched, placing)]
    for (const { actions, movedAside, toReenter, warnings } of steps) {
      report.actions.push(...actions)
      report.movedAside.push(...movedAside)
      report.toReenter.push(...toReenter)
      report.warnings.push(...warnings)
    }
    return report
  } catch (error) {
    placing.context.signal.throwIfAborted()
    return { ...report, ok: false, error: failureOf(error) }
  }
}

async function install(fetched: FetchedComponent, { context, instance, request }: Placing): Promise<RestoredComponent[]> {
  const { installer, archive } = fetched
  if (installer === undefined) throw new PromDrError('INTERNAL', `${fetched.component} has nowhere to go`)
  const options = { force: request.force ?? false, dryRun: request.dryRun, parts: request.parts ?? [], signal: context.signal }
  const external = archive.external === undefined ? [] : [await requireExternal(fetched).restore(placeOf(fetched, context, instance), options)]
  return [...external, await installer.restore(fetched.directory, options)]
}

async function extract(fetched: FetchedComponent, { context, instance, request, target }: Placing): Promise<RestoredComponent> {
  const place = resolve(request.componentsTarget ?? '', fetched.component)
  const { external } = fetched.archive
  const outside = external === undefined ? [] : [`${external.objects} objects of its own tool into ${join(place, 'external')}`]
  const nothing = { movedAside: [], toReenter: [], warnings: [] }
  if (target === undefined) return { actions: [`would put ${filesOf(fetched)} into ${place}`, ...outside.map((text) => `would put ${text}`)], ...nothing }
  await moveDirectory(fetched.directory, place)
  const actions = [`put ${filesOf(fetched)} into ${place}`]
  if (external === undefined) return { actions, ...nothing }
  if (fetched.installer?.external === undefined) return { actions, ...nothing, warnings: [`its data is kept by its own tool below ${external.prefix} of the instance, and was not brought: the component is not configured here`] }
  await fetched.installer.external.extract(placeOf(fetched, context, instance), await makePrivateDirectory(join(place, 'external')), { signal: context.signal })
  return { actions: [...actions, ...outside.map((text) => `put ${text}`)], ...nothing }
}

function filesOf({ archive: { files } }: FetchedComponent): string {
  return files.length === 1 ? '1 file' : `${files.length} files`
}

function requireExternal({ installer, component }: FetchedComponent) {
  if (installer?.external !== undefined) return installer.external
  throw new PromDrError('COMPONENT_REFUSED', `the recovery point keeps data of ${component} outside archives, and ${component} as it is configured here keeps none`, { hint: 'configure it as it was at the source' })
}

function placeOf({ archive, repository }: FetchedComponent, { components }: RestoreComponentsContext, instance: string): ExternalPlace {
  const access = components.places.get(repository)
  if (access === undefined || archive.external === undefined) throw new PromDrError('COMPONENT_FAILED', `${archive.component} cannot read from the repository ${repository}`, { hint: 'its data lies in file:// and s3:// repositories' })
  return { ...access, prefix: `${instancePrefix(instance)}${archive.external.prefix}` }
}
