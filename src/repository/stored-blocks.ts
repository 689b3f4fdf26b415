import { createHash } from 'node:crypto'
import pLimit, { type LimitFunction } from 'p-limit'
import type { BlockFiles, NamedBlock } from '../domain/recovery-point.ts'
import { isUlid } from '../domain/ulid.ts'
import { PromDrError, hasCode } from '../errors.ts'
import { type Body, type ObjectStore, type WrittenObject, bytesBody } from '../stores/object-store.ts'
import { readSmallObject, signalOf } from './documents.ts'
import { blockPrefix, blocksPrefix, deletionMarkKey } from './layout.ts'
import { takeBackMark } from './deletion-marks.ts'

interface Options {
  signal?: AbortSignal | undefined
}

export const metaFile = 'meta.json'
const maxMetaBytes = 4 * 1024 * 1024
/**
 * Up to `eachUpTo` blocks each gets a listing of its own. Of more, everything in their time is listed, until that has given so many
 * objects for each block that it costs as much as listings of their own: a fleet's repository may hold any number of others' blocks.
 */
const pagedListing = { eachUpTo: 16, objectsPerBlock: 100 }
const walkedListing = { eachUpTo: 1000, objectsPerBlock: 25 }
const listingsAtOnce = 16
const mostShards = 256

/** What lies below a block's prefix. */
export interface StoredFiles {
  /** Sizes in bytes by path in the block; the deletion mark is not among them. */
  files: Map<string, number>
  marked: boolean
}

/** ULIDs below `blocks/`: of whole, partial and marked blocks alike. */
export async function listBlockUlids(store: ObjectStore, options: Options = {}): Promise<Set<string>> {
  const ulids = new Set<string>()
  for await (const name of store.listFolders(blocksPrefix, signalOf(options))) if (isUlid(name)) ulids.add(name)
  return ulids
}

/** The files of one block or head, by listing its prefix. */
export async function listFiles(store: ObjectStore, prefix: string, options: Options = {}): Promise<StoredFiles> {
  const found: StoredFiles = { files: new Map(), marked: false }
  for await (const object of store.list(prefix, signalOf(options))) addFile(found, object.key.slice(prefix.length), object.sizeBytes)
  return found
}

/**
 * As `listFiles` for many blocks: prefix by prefix for some; for many by one listing, or where a store answers a page of it after the
 * other by listings of what their ULIDs begin with, several at a time.
 */
export async function listBlocks(store: ObjectStore, ulids: readonly string[], options: Options = {}): Promise<Map<string, StoredFiles>> {
  const { eachUpTo, objectsPerBlock } = store.listsInPages ? pagedListing : walkedListing
  const limit = pLimit(listingsAtOnce)
  if (ulids.length > eachUpTo) {
    const found = await listWidely(store, ulids, { ...options, limit, mostObjects: ulids.length * objectsPerBlock })
    if (found !== undefined) return found
  }
  const found = noFiles(ulids)
  await settleAll(ulids.map((ulid) => limit(async () => found.set(ulid, await listFiles(store, blockPrefix(ulid), options)))))
  return found
}

/** Undefined when it would take more objects than `mostObjects`. */
async function listWidely(store: ObjectStore, ulids: readonly string[], request: Options & { limit: LimitFunction; mostObjects: number }): Promise<Map<string, StoredFiles> | undefined> {
  const found = noFiles(ulids)
  let left = request.mostObjects
  const listShard = async (beginning: string) => {
    if (left < 0) return
    for await (const object of store.list(`${blocksPrefix}${beginning}`, signalOf(request))) {
      left -= 1
      if (left < 0) return
      const path = object.key.slice(blocksPrefix.length)
      const block = found.get(path.slice(0, 26))
      if (block !== undefined && path[26] === '/') addFile(block, path.slice(27), object.sizeBytes)
    }
  }
  await settleAll((store.listsInPages ? beginnings(ulids) : ['']).map((beginning) => request.limit(() => listShard(beginning))))
  return left < 0 ? undefined : found
}

function noFiles(ulids: readonly string[]): Map<string, StoredFiles> {
  return new Map(ulids.map((ulid) => [ulid, { files: new Map(), marked: false }]))
}

/** What the ULIDs begin with, to as many characters as it takes for some listings to share the work (ULIDs begin with their time). */
function beginnings(ulids: readonly string[]): string[] {
  let chosen = ['']
  for (let length = 1; length <= 10; length += 1) {
    const distinct = [...new Set(ulids.map((ulid) => ulid.slice(0, length)))]
    if (distinct.length > mostShards) break
    chosen = distinct
    if (distinct.length >= listingsAtOnce) break
  }
  return chosen
}

function addFile(found: StoredFiles, path: string, sizeBytes: number): void {
  if (path === 'deletion-mark.json') found.marked = true
  else found.files.set(path, sizeBytes)
}

/** What is missing or has another size, in words; undefined when every file is there. */
export function missingFile(expected: BlockFiles, stored: StoredFiles | undefined): { path: string; reason: string } | undefined {
  for (const [path, sizeBytes] of Object.entries(expected)) {
    const storedBytes = stored?.files.get(path)
    if (storedBytes === undefined) return { path, reason: 'it is missing' }
    if (storedBytes !== sizeBytes) return { path, reason: `it has ${storedBytes} bytes instead of ${sizeBytes}` }
  }
  return undefined
}

/** The text of a stored meta.json and its digest. @throws OBJECT_NOT_FOUND, DAMAGED when the digest is not `expectedSha256` */
export async function readStoredMeta(store: ObjectStore, prefix: string, options: Options & { expectedSha256?: string } = {}): Promise<{ text: string; sha256: string; sizeBytes: number }> {
  const key = `${prefix}${metaFile}`
  const bytes = await readSmallObject(store, key, maxMetaBytes, options)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (options.expectedSha256 !== undefined && options.expectedSha256 !== sha256) {
    throw new PromDrError('DAMAGED', `${key} has SHA-256 ${sha256}, the recovery point names ${options.expectedSha256}`, {
      hint: 'another repository may have a good copy: run "prom-dr verify"', details: { key },
    })
  }
  return { text: bytes.toString('utf8'), sha256, sizeBytes: bytes.length }
}

export interface BlockUpload {
  /** `blocks/<ULID>/` or a head's prefix. */
  prefix: string
  /** Every file but meta.json. */
  files: { relPath: string; body: Body }[]
  /** The text of meta.json, once the digests are known. */
  metaText(files: { relPath: string; sizeBytes: number; sha256: string }[]): string
  /** Runs a task when there is room: bounds how many files go at once, over all blocks. */
  limit<T>(task: () => Promise<T>): Promise<T>
  onProgress?: (bytes: number) => void
  signal?: AbortSignal | undefined
}

/** What was stored, for the manifest. */
export interface UploadedBlock {
  files: BlockFiles
  metaSha256: string
  /** Bytes that were not there before. */
  uploadedBytes: number
  /** Keys that held other bytes under this block's name and were written anew. */
  replaced: string[]
}

/**
 * Stores a block's files, then its meta.json, which makes it a block: a crash before leaves a partial upload, which
 * the next backup completes and readers ignore. Files that are there with equal content are not sent to be stored
 * twice. A file with other content under the same name belongs to no complete block (the caller has looked) and is
 * replaced.
 */
export async function uploadBlock(store: ObjectStore, upload: BlockUpload): Promise<UploadedBlock> {
  const result: UploadedBlock = { files: {}, metaSha256: '', uploadedBytes: 0, replaced: [] }
  const send = async (relPath: string, body: Body) => {
    const written = await createOrReplace(store, `${upload.prefix}${relPath}`, { body, upload, result })
    if (written.created) result.uploadedBytes += written.sizeBytes
    result.files[relPath] = written.sizeBytes
    return { relPath, sizeBytes: written.sizeBytes, sha256: written.sha256 }
  }
  const files = await settleAll(upload.files.map(({ relPath, body }) => upload.limit(() => send(relPath, body))))
  const meta = await send(metaFile, bytesBody(Buffer.from(upload.metaText(files))))
  result.metaSha256 = meta.sha256
  return result
}

async function createOrReplace(store: ObjectStore, key: string, context: { body: Body; upload: BlockUpload; result: UploadedBlock }): Promise<WrittenObject> {
  const { body, upload, result } = context
  let reported = 0
  const onProgress = (sentBytes: number) => {
    upload.onProgress?.(sentBytes - reported)
    reported = sentBytes
  }
  const options = { ...signalOf(upload), onProgress }
  const createOrPut = async () => {
    try {
      return await store.create(key, body, options)
    } catch (error) {
      if (!hasCode(error, 'OBJECT_EXISTS')) throw error
    }
    result.replaced.push(key)
    return store.put(key, body, options)
  }
  const written = await createOrPut()
  // What was there already need not have been sent.
  onProgress(written.sizeBytes)
  return written
}

/** Waits for every task also when one fails, so that nothing goes on behind the caller's back; then fails with the first error. */
export async function settleAll<T extends unknown[]>(tasks: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  const results = await Promise.allSettled(tasks)
  const failure = results.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as T
}

/**
 * Makes a stored block fit to be named again: takes its deletion mark back while that is safe.
 * @returns false when the mark is too old, so that the block counts as absent
 */
export async function unmarkBlock(store: ObjectStore, ulid: string, options: Options = {}): Promise<boolean> {
  return takeBackMark(store, deletionMarkKey(ulid), options)
}

/** Finishes the removal of a block whose mark came of age: meta.json first, so that no reader takes the rest for a block; the mark last. */
export async function removeMarkedBlock(store: ObjectStore, ulid: string, options: Options = {}): Promise<void> {
  const prefix = blockPrefix(ulid)
  const { files } = await listFiles(store, prefix, options)
  await store.delete([`${prefix}${metaFile}`], signalOf(options))
  await store.delete([...files.keys()].filter((path) => path !== metaFile).map((path) => `${prefix}${path}`), signalOf(options))
  await store.delete([deletionMarkKey(ulid)], signalOf(options))
}

/**
 * The last look before the manifest: every block that it names has every file in the right size, and no mark. A young mark is that of
 * an expiry which looked before there was an intent: it is taken back.
 * @throws CONTENTION naming the first that has not: somebody removed it meanwhile
 */
export async function recheckBlocks(store: ObjectStore, blocks: readonly NamedBlock[], options: Options = {}): Promise<void> {
  const stored = await listBlocks(store, blocks.map((block) => block.ulid), options)
  for (const block of blocks) {
    const found = stored.get(block.ulid)
    const missing = missingFile(block.files, found)
    if (missing === undefined && (found?.marked !== true || (await unmarkBlock(store, block.ulid, options)))) continue
    const what = missing === undefined ? 'was marked for deletion' : `lost ${missing.path}: ${missing.reason}`
    throw new PromDrError('CONTENTION', `block ${block.ulid} ${what} while the backup ran in ${store.url}`, {
      hint: 'nothing was committed; run the backup again, and see what else writes to this repository (a Thanos compactor must not)',
    })
  }
}
