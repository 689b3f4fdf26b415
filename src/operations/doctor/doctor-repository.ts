import { PromDrError, hasCode } from '../../errors.ts'
import { readFormat } from '../../repository/format.ts'
import { readIdentity } from '../../repository/identity.ts'
import { probePrefix } from '../../repository/layout.ts'
import type { ObjectStore, StoreCapabilities } from '../../stores/object-store.ts'
import type { NamedStore } from '../backup/backup.ts'
import { type DoctorContext, knownDataDirectory } from './doctor-context.ts'
import type { DoctorCheck } from './doctor-report.ts'
import { clockCheck } from './doctor-server.ts'

/** One repository: reachable, writable, what its store guarantees. @throws STORE_* when it cannot be reached or written */
export async function checkRepository(context: DoctorContext, repository: NamedStore): Promise<DoctorCheck[]> {
  const area = `repository ${repository.name}`
  const { store } = repository
  const options = { signal: context.signal }
  const beforeMs = context.clock.now().getTime()
  const storeMs = (await store.now(options)).getTime()
  const afterMs = context.clock.now().getTime()
  const checks: DoctorCheck[] = [{ area, name: 'reachable', status: 'ok', detail: store.url }]
  checks.push(clockCheck(area, { offsetMs: storeMs - (beforeMs + afterMs) / 2, uncertaintyMs: (afterMs - beforeMs) / 2 + 1000, whose: 'the store\'s clock' }))
  const capabilities = await tryWriting(store, options)
  const stored = [await checkFormat(context, area, repository), await checkIdentity(context, area, repository)]
  if (capabilities instanceof PromDrError) {
    // Restores only read: the rest is worth knowing.
    return [...checks, { area, name: 'writable', status: 'fail', detail: capabilities.message, advice: capabilities.hint ?? 'give this user the right to write there: backups cannot be stored' }, ...stored]
  }
  checks.push({ area, name: 'writable', status: 'ok', detail: 'an object was written, read and removed' })
  checks.push(capabilities.conditionalCreate
    ? { area, name: 'conditional writes', status: 'ok', detail: 'of two writers of one object exactly one wins' }
    : { area, name: 'conditional writes', status: 'warn', detail: 'the store does not honour them', advice: 'see to it yourself that each instance has one writer a verb: leases cannot be exclusive here' })
  checks.push(capabilities.verifiedUploads
    ? { area, name: 'verified uploads', status: 'ok', detail: 'the store refuses a body that arrives changed' }
    : { area, name: 'verified uploads', status: 'warn', detail: 'the store does not check what arrives', advice: 'schedule "prom-dr verify --read-data-subset"' })
  checks.push(...capabilities.caveats.map((caveat): DoctorCheck => ({ area, name: 'caveat', status: 'warn', detail: caveat, advice: 'nothing to do: prom-dr does not depend on it' })))
  return [...checks, ...stored]
}

async function tryWriting(store: ObjectStore, options: { signal: AbortSignal }): Promise<StoreCapabilities | PromDrError> {
  try {
    return await store.capabilities(probePrefix, options)
  } catch (error) {
    if (hasCode(error, 'STORE_DENIED', 'STORE_REJECTED', 'FILE_SYSTEM', 'DISK_FULL')) return error
    throw error
  }
}

async function checkFormat(context: DoctorContext, area: string, { store }: NamedStore): Promise<DoctorCheck> {
  try {
    const format = await readFormat(store, { signal: context.signal })
    return { area, name: 'format', status: 'ok', detail: `version ${format.version}, repository ${format.repositoryId}` }
  } catch (error) {
    if (hasCode(error, 'REPOSITORY_NOT_FOUND')) return { area, name: 'format', status: 'warn', detail: 'nothing is stored here yet', advice: 'the first "prom-dr backup" makes the repository' }
    if (hasCode(error, 'REPOSITORY_TOO_NEW', 'DAMAGED')) return { area, name: 'format', status: 'fail', detail: error.message, advice: error.hint ?? 'see the message' }
    throw error
  }
}

async function checkIdentity(context: DoctorContext, area: string, { store }: NamedStore): Promise<DoctorCheck> {
  const name = `instance ${context.instance}`
  const identity = await readIdentity(store, context.instance, { signal: context.signal }).catch((error: unknown) => {
    if (hasCode(error, 'DAMAGED')) return error
    throw error
  })
  if (identity instanceof PromDrError) return { area, name, status: 'fail', detail: identity.message, advice: 'take the name over again with "prom-dr backup --adopt"' }
  if (identity === undefined) return { area, name, status: 'ok', detail: 'nobody writes under this name yet' }
  const dataDir = await knownDataDirectory(context)
  if (identity.machineId === context.host.machineId && (dataDir === undefined || dataDir === identity.dataDir)) return { area, name, status: 'ok', detail: `written by this machine, from ${identity.dataDir}` }
  const here = identity.machineId === context.host.machineId ? `, and this server's is ${dataDir}` : ', on another machine than this (each is known by its /etc/machine-id, or without one by its host name)'
  return { area, name, status: 'fail', detail: `belongs to ${identity.hostname}, data directory ${identity.dataDir}${here}`, advice: 'choose another "instance", or take the name over with "prom-dr backup --adopt"' }
}
