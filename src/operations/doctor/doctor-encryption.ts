import { isEncrypted } from '../../domain/archive.ts'
import type { Encryption } from '../../domain/encryption.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { openArchive } from '../../repository/archives.ts'
import { readFormat } from '../../repository/format.ts'
import { listRecoveryPointIds, readRecoveryPoint } from '../../repository/recovery-points.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { openAnswers } from '../../repository/sealed-answers.ts'
import type { NamedStore } from '../backup/backup.ts'
import { withCurrentArchive } from '../components/current-archive.ts'
import type { DoctorContext, DoctorEncryption } from './doctor-context.ts'
import type { DoctorCheck } from './doctor-report.ts'

/** How many recovery points are looked at for something that is sealed. */
const newestPoints = 5

/** The files that hold secrets: whether they are there, and closed to others. */
export function checkSecretFiles({ encryption }: DoctorContext): DoctorCheck[] {
  return (encryption?.secretFiles ?? []).map(({ what, path, mode }): DoctorCheck => {
    const check = { area: 'host', name: `${what} file` }
    if (mode === null) return { ...check, status: 'fail', detail: `${path} is not there`, advice: 'bring it back from where copies are kept (runbooks/encryption.md), or take the setting away on a host that only backs up' }
    if ((mode & 0o077) !== 0) return { ...check, status: 'warn', detail: `other users may read ${path}`, advice: `chmod 600 ${path}` }
    return { ...check, status: 'ok', detail: path }
  })
}

/** Whom new objects are sealed for, and whether the configured key opens the newest of what is sealed. */
export async function checkEncryption(context: DoctorContext, { name, store }: NamedStore): Promise<DoctorCheck[]> {
  const area = `repository ${name}`
  const { encryption, instance, signal } = context
  const checks = [sealingCheck(area, encryption)]
  const format = await readFormat(store, { signal }).catch((error: unknown) => {
    // That is told where the repository is looked at.
    if (hasCode(error, 'REPOSITORY_NOT_FOUND', 'DAMAGED', 'REPOSITORY_TOO_NEW', 'STORE_UNREACHABLE', 'STORE_DENIED', 'STORE_BAD_RESPONSE', 'STORE_REJECTED')) return undefined
    throw error
  })
  const configured = encryption?.recipients ?? []
  if (format !== undefined && format.recipients.length > 0 && configured.length > 0 && format.recipients.join() !== [...configured].sort().join()) {
    checks.push({ area, name: 'recipients', status: 'warn', detail: `objects of before are sealed for ${format.recipients.join(', ')}`, advice: 'keep their key in encryption.identityFile, and run "prom-dr repository re-encrypt" to seal them for the present keys' })
  }
  if (encryption === undefined || format === undefined) return checks
  const point = await newestSealed(store, instance, signal)
  if (point === undefined) return checks
  const { opening } = encryption
  checks.push(opening === undefined || (encryption.secretFiles.length === 0 && !encryption.passphrase)
    ? { area, name: 'key', status: 'ok', detail: 'no secret key on this host: it backs up and cannot restore what is encrypted' }
    : await keyCheck({ area, name: 'key' }, { store, point, opening, signal }))
  return checks
}

function sealingCheck(area: string, encryption: DoctorEncryption | undefined): DoctorCheck {
  const check = { area, name: 'encryption' }
  const { recipients = [], passphrase = false, data = false } = encryption ?? {}
  if (recipients.length === 0 && !passphrase) {
    return {
      ...check, status: 'warn', detail: 'everything is stored in the clear: archives of configuration, which hold secrets, samples, labels and flags',
      advice: 'set encryption.recipients (runbooks/encryption.md), or restrict who may read the repository',
    }
  }
  const readers = recipients.length === 0 ? 'a passphrase' : recipients.length === 1 ? 'one key' : `${recipients.length} keys`
  return { ...check, status: 'ok', detail: data ? `archives, blocks and WAL are encrypted for ${readers}; Thanos cannot read the blocks` : `archives are encrypted for ${readers}; blocks and WAL are in the clear` }
}

async function newestSealed(store: NamedStore['store'], instance: string, signal: AbortSignal): Promise<StoredRecoveryPoint | undefined> {
  const { ids } = await listRecoveryPointIds(store, instance, { signal })
  for (const id of ids.slice(-newestPoints).reverse()) {
    try {
      const point = await readRecoveryPoint(store, instance, { id, signal })
      if (point.knownAnswers.sealed !== undefined || point.archives.some(isEncrypted)) return point
    } catch (error) {
      if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) throw error
    }
  }
  return undefined
}

/** Opened to the last byte: nothing less shows that it can be. */
async function keyCheck(check: { area: string; name: string }, of: { store: NamedStore['store']; point: StoredRecoveryPoint; opening: Pick<Encryption, 'decrypt'>; signal: AbortSignal }): Promise<DoctorCheck> {
  const { store, point, opening, signal } = of
  const archive = point.archives.find(isEncrypted)
  try {
    if (point.knownAnswers.sealed !== undefined) await openAnswers(point.knownAnswers, opening)
    if (archive !== undefined) {
      await withCurrentArchive({ store, instance: point.instance, recoveryPoint: point.id, archive, signal }, async (current) => {
        const stored = await openArchive(store, point.instance, { archive: current, signal })
        for await (const _piece of opening.decrypt(stored as AsyncIterable<Uint8Array>));
      })
    }
  } catch (error) {
    if (!hasCode(error, 'KEY_MISSING', 'DAMAGED', 'OBJECT_NOT_FOUND', 'CONFIG_INVALID')) throw error
    return { ...check, status: 'fail', detail: `the newest encrypted recovery point, ${point.id}, cannot be opened: ${error.message}`, advice: error instanceof PromDrError && error.hint !== undefined ? error.hint : 'see runbooks/encryption.md' }
  }
  const what = archive === undefined ? 'what is sealed in' : `the archive of ${archive.component} in`
  return { ...check, status: 'ok', detail: `it opens ${what} the newest encrypted recovery point, ${point.id}` }
}
