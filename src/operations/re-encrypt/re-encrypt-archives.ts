import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type NamedArchive, isEncrypted } from '../../domain/archive.ts'
import type { Encryption } from '../../domain/encryption.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { type ScratchOptions, withPrivateScratch } from '../../packing/scratch-directory.ts'
import { fileBody, removeFile, writeNewFile } from '../../packing/write-file.ts'
import { keyOfArchive, missingOfArchive, openArchive, storeArchive } from '../../repository/archives.ts'
import { recoveryPointKey } from '../../repository/layout.ts'
import { type Manifest, listRecoveryPointIds, readManifest, rewriteManifest } from '../../repository/recovery-points.ts'
import { openAnswers, sealAnswers } from '../../repository/sealed-answers.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { HeldLeases } from './held-leases.ts'
import type { ReEncryptedRepository } from './re-encrypt-report.ts'

export interface ReEncryptArchivesRequest {
  store: ObjectStore
  instance: string
  encryption: Encryption
  /** Whether known answers are sealed too. */
  data: boolean
  scratch: ScratchOptions
  /** Of backup and of expire: while they are held nobody else writes or removes manifests and archives of the instance. */
  leases: HeldLeases
  result: ReEncryptedRepository
  signal: AbortSignal
}

type Stored = NamedArchive['stored']

/**
 * Seals the archives of an instance for whom new ones are sealed, one after the other: the new object, then each manifest that names the
 * old one, by one put each, then the old object goes. Killed anywhere, every manifest names an object that is there; the next run uses what
 * this one stored as soon as a manifest names it. While a manifest cannot be read nothing is removed.
 */
export async function reEncryptArchives(request: ReEncryptArchivesRequest): Promise<void> {
  const { store, instance, result } = request
  const { ids, strange } = await listRecoveryPointIds(store, instance, request)
  const manifests: Manifest[] = []
  let unreadable = strange.length > 0
  for (const id of ids) {
    await recording(request, recoveryPointKey(instance, id), async () => {
      unreadable = true
      manifests.push(await readManifest(store, instance, { id, signal: request.signal }))
      unreadable = strange.length > 0 || result.failed.length > 0
    })
  }
  const done = new Set<string>()
  for (const manifest of manifests) {
    for (const archive of manifest.archives) {
      if (done.has(nameOf(archive))) continue
      done.add(nameOf(archive))
      if (!needsSealing(archive.stored, request.encryption)) result.unchanged += 1
      else await recording(request, keyOfArchive(instance, named(archive)), () => replaceArchive(request, { manifests, archive, unreadable }))
      done.add(nameOf(archive))
    }
  }
  for (const manifest of manifests) await recording(request, recoveryPointKey(instance, manifest.id), () => replaceAnswers(request, manifest))
}

function nameOf({ component, stored }: Manifest['archives'][number]): string {
  return `${component} ${stored.sha256}`
}

/** A passphrase has no name: what is sealed by one is taken to be sealed by this one. */
function needsSealing({ recipients }: { recipients?: string[] | undefined }, encryption: Encryption): boolean {
  return recipients === undefined || recipients.join() !== encryption.recipients.join()
}

async function replaceArchive(request: ReEncryptArchivesRequest, of: { manifests: readonly Manifest[]; archive: Manifest['archives'][number]; unreadable: boolean }): Promise<void> {
  const { store, instance, signal, result } = request
  const { manifests, archive, unreadable } = of
  const old = archive.stored
  const stored = (await reusable(request, manifests, archive)) ?? (await sealAnew(request, archive))
  for (const manifest of manifests) {
    const naming = manifest.archives.filter(({ component, stored: { sha256 } }) => component === archive.component && sha256 === old.sha256)
    if (naming.length === 0) continue
    for (const one of naming) one.stored = { ...stored, ...(stored.recipients !== undefined && { recipients: [...stored.recipients] }) }
    await rewrite(request, manifest)
  }
  result.archives += 1
  if (unreadable) return
  await request.leases.confirm()
  await store.delete([keyOfArchive(instance, { component: archive.component, stored: storedOf(old) })], { signal })
}

/** What another recovery point already names of the same content for the same readers. */
async function reusable({ store, instance, encryption, signal }: ReEncryptArchivesRequest, manifests: readonly Manifest[], archive: Manifest['archives'][number]): Promise<Stored | undefined> {
  const candidates = manifests.flatMap(({ archives }) => archives.filter(({ component, contentSha256, stored }) => component === archive.component && contentSha256 === archive.contentSha256 && !needsSealing(stored, encryption)))
  for (const candidate of candidates) {
    const { external: _, ...alone } = named(candidate)
    if ((await missingOfArchive(store, instance, { archive: alone, signal })) === undefined) return alone.stored
  }
  return undefined
}

/** Only sealed bytes touch the disk. */
async function sealAnew(request: ReEncryptArchivesRequest, archive: Manifest['archives'][number]): Promise<Stored> {
  const { store, instance, encryption, scratch, result, signal } = request
  const before = named(archive)
  return withPrivateScratch(scratch, async (directory) => {
    const bytes = checked(await openArchive(store, instance, { archive: before, signal }), { key: keyOfArchive(instance, before), sha256: before.stored.sha256 })
    const file = await writeNewFile(join(directory, 'sealed'), encryption.encrypt(isEncrypted(before) ? encryption.decrypt(bytes) : bytes))
    try {
      const stored: Stored = { sha256: file.sha256, sizeBytes: file.sizeBytes, recipients: [...encryption.recipients] }
      result.bytes += await storeArchive(store, instance, { archive: { component: archive.component, stored }, body: fileBody(file), signal })
      return stored
    } finally {
      await removeFile(file.path)
    }
  })
}

async function* checked(stored: AsyncIterable<Uint8Array>, of: { key: string; sha256: string }): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for await (const piece of stored) {
    hash.update(piece)
    yield piece
  }
  const sha256 = hash.digest('hex')
  if (sha256 !== of.sha256) throw new PromDrError('DAMAGED', `${of.key} has SHA-256 ${sha256}`, { hint: 'another repository may have a good copy: run "prom-dr verify --read-data"', details: { key: of.key } })
}

async function replaceAnswers(request: ReEncryptArchivesRequest, manifest: Manifest): Promise<void> {
  const { encryption, data } = request
  const { sealed, series, queries } = manifest.knownAnswers
  const wanted = sealed !== undefined ? sealed.recipients.join() !== encryption.recipients.join() : data && series.length + queries.length > 0
  if (!wanted) return
  manifest.knownAnswers = await sealAnswers(await openAnswers(manifest.knownAnswers, encryption), encryption)
  await rewrite(request, manifest)
}

async function rewrite({ store, leases, result, signal }: ReEncryptArchivesRequest, manifest: Manifest): Promise<void> {
  await leases.confirm()
  await rewriteManifest(store, manifest, { signal })
  result.manifests += 1
}

/** What cannot be opened stays as it is; everything else that goes wrong ends the run. */
async function recording({ result }: ReEncryptArchivesRequest, key: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!hasCode(error, 'DAMAGED', 'KEY_MISSING', 'OBJECT_NOT_FOUND')) throw error
    result.failed.push({ key, code: error.code, reason: error.message })
  }
}

function named(archive: Manifest['archives'][number]): NamedArchive {
  const { external, stored, ...rest } = archive
  return { ...rest, stored: storedOf(stored), ...(external !== undefined && { external }) }
}

function storedOf({ sha256, sizeBytes, recipients }: Manifest['archives'][number]['stored']): Stored {
  return { sha256, sizeBytes, ...(recipients !== undefined && { recipients }) }
}
