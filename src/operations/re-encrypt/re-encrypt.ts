import pLimit from 'p-limit'
import type { Encryption } from '../../domain/encryption.ts'
import type { Progress } from '../../domain/progress.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import type { ScratchOptions } from '../../packing/scratch-directory.ts'
import { isDataKey } from '../../repository/data-keys.ts'
import { readFormat, recordRecipients } from '../../repository/format.ts'
import type { Holder } from '../../repository/lease.ts'
import { listInstances } from '../../repository/recovery-points.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { Logger } from '../../system/logger.ts'
import { chooseRepositories } from '../backup/backup-context.ts'
import { withHeldLeases } from './held-leases.ts'
import { reEncryptArchives } from './re-encrypt-archives.ts'
import type { ReEncryptReport, ReEncryptRequest, ReEncryptedRepository } from './re-encrypt-report.ts'

/** A store that seals data, as `stores/encrypting-store.ts` makes one. */
export interface ResealingStore extends ObjectStore {
  reseal(key: string, options?: { signal?: AbortSignal }): Promise<boolean>
}

export interface ReEncryptContext {
  repositories: readonly { name: string; store: ResealingStore }[]
  /** Absent where nothing is configured to seal for. */
  encryption: Encryption | undefined
  /** Whether data is sealed, not only archives. */
  data: boolean
  scratch: ScratchOptions
  filesAtOnce: number
  self: Holder
  isDead(other: Holder): boolean
  logger: Logger
  progress: Progress
  signal: AbortSignal
}

const mostFailures = 100

/**
 * Seals what is stored for whom new objects are sealed: archives and known answers of every instance, then data objects, each put in its place.
 * At every moment everything can be read by who holds the old and the new keys; killed anywhere, the next run goes on, and a run that
 * finds everything as it should be changes nothing. Plain objects are sealed; nothing is ever stored in the clear again.
 * @throws USAGE when there is nobody to seal for, otherwise the first repository's error when all fail
 */
export async function reEncrypt(context: ReEncryptContext, request: ReEncryptRequest): Promise<ReEncryptReport> {
  const { encryption } = context
  if (encryption === undefined) throw new PromDrError('USAGE', 'there is nobody to encrypt for', { hint: 'set encryption.recipients in the configuration: see runbooks/encryption.md' })
  const report: ReEncryptReport = { recipients: [...encryption.recipients], repositories: [] }
  const failures: unknown[] = []
  for (const { name, store } of chooseRepositories(context.repositories, request.repositories)) {
    const result: ReEncryptedRepository = { name, url: store.url, ok: true, archives: 0, objects: 0, manifests: 0, bytes: 0, unchanged: 0, failed: [] }
    report.repositories.push(result)
    try {
      await reEncryptRepository({ ...context, encryption }, store, result)
    } catch (error) {
      context.signal.throwIfAborted()
      failures.push(error)
      const known = error instanceof PromDrError ? error : undefined
      result.error = { code: known?.code ?? 'INTERNAL', message: messageOf(error), ...(known?.hint !== undefined && { hint: known.hint }) }
    }
    result.ok = result.error === undefined && result.failed.length === 0
    result.failed = result.failed.slice(0, mostFailures)
  }
  if (failures.length === report.repositories.length) throw failures[0]
  return report
}

async function reEncryptRepository(context: ReEncryptContext & { encryption: Encryption }, store: ResealingStore, result: ReEncryptedRepository): Promise<void> {
  const { encryption, signal } = context
  await readFormat(store, { signal })
  for (const instance of await listInstances(store, { signal })) {
    await withHeldLeases({ ...context, store, instance }, (leases) => reEncryptArchives({ ...context, store, instance, leases, result }))
  }
  // Data objects are never named by what they are sealed for: they need no lease, and backups and shipping go on meanwhile.
  if (encryption.recipients.length > 0) await resealData(context, store, result)
  if (result.failed.length === 0) await recordRecipients(store, encryption.recipients, { signal })
}

async function resealData(context: ReEncryptContext, store: ResealingStore, result: ReEncryptedRepository): Promise<void> {
  const { progress, signal } = context
  const objects: { key: string; sizeBytes: number }[] = []
  for await (const { key, sizeBytes } of store.list('', { signal })) if (isDataKey(key)) objects.push({ key, sizeBytes })
  progress.start(`sealing in ${store.url}`, objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
  const limit = pLimit(context.filesAtOnce)
  let failure: unknown
  await Promise.all(objects.map(({ key, sizeBytes }) => limit(async () => {
    if (failure !== undefined || signal.aborted) return
    try {
      if (await store.reseal(key, { signal })) {
        result.objects += 1
        result.bytes += sizeBytes
      } else result.unchanged += 1
      progress.advance(sizeBytes)
    } catch (error) {
      // Shipping and expiry remove objects while this runs.
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return
      if (hasCode(error, 'DAMAGED', 'KEY_MISSING')) result.failed.push({ key, code: error.code, reason: error.message })
      else failure ??= error
    }
  })))
  signal.throwIfAborted()
  if (failure !== undefined) throw failure
}
