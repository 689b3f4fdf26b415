import type { Readable } from 'node:stream'
import { type NamedArchive, isEncrypted } from '../domain/archive.ts'
import { PromDrError } from '../errors.ts'
import type { Body, ObjectStore } from '../stores/object-store.ts'
import { signalOf } from './documents.ts'
import { takeBackMark } from './deletion-marks.ts'
import { archiveKey, archivePath, instancePrefix, markKeyOf } from './layout.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/** Where a named archive is stored. */
export function keyOfArchive(instance: string, archive: Pick<NamedArchive, 'component' | 'stored'>): string {
  return archiveKey(instance, { component: archive.component, sha256: archive.stored.sha256, encrypted: isEncrypted(archive) })
}

/** What an intent names of an archive: its object, and its external data. */
export function intentPaths({ component, stored, external }: Pick<NamedArchive, 'component' | 'stored' | 'external'>): string[] {
  return [archivePath({ component, sha256: stored.sha256, encrypted: isEncrypted({ stored }) }), ...(external === undefined ? [] : [external.prefix])]
}

/** Stores what an archive is named after, once. @returns the bytes newly stored */
export async function storeArchive(store: ObjectStore, instance: string, request: { archive: Pick<NamedArchive, 'component' | 'stored'>; body: Body } & Options): Promise<number> {
  const { archive, body } = request
  const key = keyOfArchive(instance, archive)
  const marked = await isArchiveMarked(store, instance, request)
  // Whoever removes it looks for the mark just before.
  if (marked) await store.delete([markKeyOf(key)], signalOf(request))
  const known = await store.head(key, signalOf(request))
  if (known?.sizeBytes === body.sizeBytes && !marked) return 0
  const content = { ...body, sha256: archive.stored.sha256 }
  // An object of another size under this name is damaged: its name is the digest of what belongs there.
  await (known === undefined ? store.create(key, content, signalOf(request)) : store.put(key, content, signalOf(request)))
  return body.sizeBytes
}

/** Whether it is to be removed unless it is named again. */
export async function isArchiveMarked(store: ObjectStore, instance: string, request: { archive: Pick<NamedArchive, 'component' | 'stored'> } & Options): Promise<boolean> {
  return (await store.head(markKeyOf(keyOfArchive(instance, request.archive)), signalOf(request))) !== undefined
}

/** Makes an archive that may be marked fit to be named. @returns false when the mark is too old, so that it counts as absent */
export async function unmarkArchive(store: ObjectStore, instance: string, request: { archive: Pick<NamedArchive, 'component' | 'stored'> } & Options): Promise<boolean> {
  return takeBackMark(store, markKeyOf(keyOfArchive(instance, request.archive)), request)
}

/** The bytes as they are stored. @throws OBJECT_NOT_FOUND, DAMAGED when the size is another */
export async function openArchive(store: ObjectStore, instance: string, request: { archive: Pick<NamedArchive, 'component' | 'stored'> } & Options): Promise<Readable> {
  const { archive } = request
  const key = keyOfArchive(instance, archive)
  const reader = await store.get(key, signalOf(request))
  if (reader.sizeBytes === archive.stored.sizeBytes) return reader.body
  reader.body.destroy()
  throw new PromDrError('DAMAGED', `${key} has ${reader.sizeBytes} bytes instead of ${archive.stored.sizeBytes}`, { hint: 'another repository may have a good copy: run "prom-dr verify"', details: { key } })
}

/** What lies below a place that a component's own tool stored to. */
export async function measureExternal(store: ObjectStore, instance: string, request: { path: string } & Options): Promise<{ sizeBytes: number; objects: number }> {
  let [sizeBytes, objects] = [0, 0]
  for await (const object of store.list(`${instancePrefix(instance)}${request.path}`, signalOf(request))) {
    sizeBytes += object.sizeBytes
    objects += 1
  }
  return { sizeBytes, objects }
}

/** What is missing of an archive or has another size, in words; undefined when all of it is there. By listing and HEAD alone. */
export async function missingOfArchive(store: ObjectStore, instance: string, request: { archive: NamedArchive } & Options): Promise<{ key: string; reason: string } | undefined> {
  const { archive } = request
  const key = keyOfArchive(instance, archive)
  const found = await store.head(key, signalOf(request))
  if (found === undefined) return { key, reason: 'it is missing' }
  if (found.sizeBytes !== archive.stored.sizeBytes) return { key, reason: `it has ${found.sizeBytes} bytes instead of ${archive.stored.sizeBytes}` }
  const { external } = archive
  if (external === undefined) return undefined
  const { sizeBytes, objects } = await measureExternal(store, instance, { path: external.prefix, signal: request.signal })
  if (sizeBytes === external.sizeBytes && objects === external.objects) return undefined
  return { key: `${instancePrefix(instance)}${external.prefix}`, reason: `${objects} objects of ${sizeBytes} bytes are there instead of ${external.objects} of ${external.sizeBytes}` }
}
