import { join } from 'node:path'
import type { Component, Finding } from '../../components/component.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import type { ChosenArchive } from '../../domain/component-plan.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { freeBytesOf, makePrivateDirectory } from '../../packing/scratch-directory.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { ComponentsContext } from './components-context.ts'
import { withCurrentArchive } from './current-archive.ts'
import { readArchive } from './read-archive.ts'
import { type Sources, outOfReach } from '../repository-sources.ts'

/** A component whose files lie ready, all of them checked. */
export interface FetchedComponent extends ChosenArchive<StoredRecoveryPoint> {
  /** Absent where this host has no such component configured. */
  installer: Component | undefined
  directory: string
  repository: string
  bytes: number
  findings: Finding[]
}

export interface FetchRequest {
  context: ComponentsContext
  sources: Sources
  instance: string
  /** Private. */
  directory: string
  /** Gets what another repository stood in for. */
  repaired: { key: string; from: string; reason: string }[]
  signal: AbortSignal
}

/** Room for the files and for what is fetched of the largest. @throws PREFLIGHT_REFUSED */
export async function requireRoom(chosen: readonly ChosenArchive<StoredRecoveryPoint>[], directory: string): Promise<void> {
  const content = chosen.reduce((sum, { archive }) => sum + archive.files.reduce((bytes, file) => bytes + file.sizeBytes, 0), 0)
  const neededBytes = content + Math.max(0, ...chosen.map(({ archive }) => archive.stored.sizeBytes))
  const freeBytes = await freeBytesOf(directory)
  if (neededBytes <= freeBytes) return
  throw new PromDrError('PREFLIGHT_REFUSED', `${directory} has ${formatByteSize(freeBytes)} free; the components need ${formatByteSize(neededBytes)} there`, { hint: 'nothing was changed; set TMPDIR to a directory on a larger file system' })
}

/** From the first repository that has it whole. @throws DAMAGED, KEY_MISSING, STORE_* when none has */
export async function fetchComponent(chosen: ChosenArchive<StoredRecoveryPoint>, component: Component | undefined, request: FetchRequest): Promise<FetchedComponent> {
  const { sources, instance, signal } = request
  const directory = join(request.directory, chosen.component)
  const failures: { repository: string; key: string; error: PromDrError }[] = []
  for (const [index, name] of chosen.sources.entries()) {
    const source = sources.repositories.find((repository) => repository.name === name)
    const archive = source?.instances.find((candidate) => candidate.name === instance)?.points.find(({ id }) => id === chosen.point.id)?.archives.find((candidate) => candidate.component === chosen.component)
    if (source === undefined || archive === undefined) continue
    const into = await makePrivateDirectory(`${directory}${index === 0 ? '' : `.${index}`}`)
    try {
      const bytes = await withCurrentArchive({ store: source.store, instance, recoveryPoint: chosen.point.id, archive, signal }, (current) => readArchive({ store: source.store, instance, archive: current, opening: request.context.opening, scratch: request.directory, into, signal }))
      request.repaired.push(...failures.map(({ key, error }) => ({ key, from: name, reason: messageOf(error) })))
      const findings = component === undefined ? [] : (await component.check(into, { signal })).filter(({ level }) => level !== 'ok')
      return { ...chosen, archive, installer: component, directory: into, repository: name, bytes, findings }
    } catch (error) {
      if (!hasCode(error, ...outOfReach)) throw error
      const key = error.details?.['key']
      failures.push({ repository: name, key: typeof key === 'string' ? key : chosen.component, error })
    }
  }
  const [first] = failures
  if (first !== undefined) throw new PromDrError(first.error.code, `the restore was refused, nothing was changed: ${failures.map(({ repository, error }) => `${repository}: ${messageOf(error)}`).join('; ')}`, { hint: 'run "prom-dr verify" to see what is whole, and restore an earlier moment with --at', details: { key: first.key } })
  throw new PromDrError('INTERNAL', `no repository has ${chosen.component} of recovery point ${chosen.point.id}, though it was planned from one`)
}
