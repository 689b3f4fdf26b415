import type { Config, EncryptionConfig } from './config/config.ts'
import { classOf } from './domain/tier-storage.ts'
import { systemCode } from './errors.ts'
import { createAgeKeys } from './integrations/age/keys.ts'
import { createObjectSealing } from './integrations/age/object-sealing.ts'
import type { DoctorEncryption } from './operations/doctor/doctor-context.ts'
import type { RepositoryTiering } from './operations/backup/backup-context.ts'
import { isBulkKey, isDataKey } from './repository/data-keys.ts'
import { type EncryptingStore, createEncryptingStore } from './stores/encrypting-store.ts'
import { openObjectStore, openObjectTiering } from './stores/open-store.ts'
import { createRateLimitedStore } from './stores/rate-limited-store.ts'
import type { S3Settings } from './stores/s3-client.ts'
import { systemClock } from './system/clock.ts'
import { fileMode } from './system/file-mode.ts'
import type { Logger } from './system/logger.ts'

export interface OpenedRepository {
  name: string
  store: EncryptingStore
  tiering?: RepositoryTiering
}

/** How large objects go to S3 where the configuration does not say. */
export type UploadSettings = Pick<S3Settings, 'partSizeBytes' | 'concurrency'>

/** For a process that stays: an upload takes two parts of memory, and what was taken once stays taken. */
export const sparingUploads: UploadSettings = { partSizeBytes: 5 * 1024 * 1024, concurrency: 1 }

/**
 * The configured repositories: outages are waited out, then bytes are slowed, then data is sealed, so that retries and limits are about
 * what is really sent. What is sealed already is shown and read whatever is configured.
 */
export function openRepositories(config: Config, { logger, retryBudgetMs = config.transfer.retryBudgetMs, uploads = {} }: { logger: Logger; retryBudgetMs?: number; uploads?: UploadSettings }): Promise<OpenedRepository[]> {
  const { uploadBytesPerSecond, downloadBytesPerSecond } = config.transfer
  const limits = { clock: systemClock, ...(uploadBytesPerSecond !== undefined && { uploadBytesPerSecond }), ...(downloadBytesPerSecond !== undefined && { downloadBytesPerSecond }) }
  const limited = uploadBytesPerSecond !== undefined || downloadBytesPerSecond !== undefined
  const { recipients, data, ...keys } = config.encryption
  const sealing = createObjectSealing(recipients, createAgeKeys(keys, { logger }))
  return Promise.all(config.repositories.map(async ({ name, url, s3, tiers }) => {
    const at = { url, s3: { ...uploads, ...s3 } }
    const opening = { clock: systemClock, logger, retryBudgetMs, storageClassOf: (key: string) => (isBulkKey(key) ? classOf('hourly', tiers) : undefined) }
    const opened = await openObjectStore(at, opening)
    const store = limited ? createRateLimitedStore(opened, limits) : opened
    const objects = await openObjectTiering(at, opening)
    return { name, ...(objects !== undefined && { tiering: { objects, tiers } }), store: createEncryptingStore(store, { sealing, seals: isDataKey, write: data }) }
  }))
}

/** What `doctor` looks at: nothing of it is opened here. */
export function describeEncryption(config: EncryptionConfig, opening: DoctorEncryption['opening']): DoctorEncryption {
  const { recipients, data, identityFile, passphraseFile, passphrase } = config
  const secretFiles = [...(identityFile === undefined ? [] : [{ what: 'identity', path: identityFile }]), ...(passphraseFile === undefined ? [] : [{ what: 'passphrase', path: passphraseFile }])]
  return {
    recipients, data, opening,
    passphrase: passphrase !== undefined || passphraseFile !== undefined,
    secretFiles: secretFiles.map((file) => ({ ...file, mode: modeOf(file.path) })),
  }
}

function modeOf(path: string): number | null {
  try {
    return fileMode(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemCode(error) ?? '')) return null
    throw error
  }
}
