import type { Readable } from 'node:stream'

/** An object as a listing or a HEAD shows it. */
export interface StoredObject {
  key: string
  sizeBytes: number
  /** By the store's clock. */
  modifiedAt: Date
}

/**
 * Bytes to store. `open` may be called more than once (a retry starts again) and must give the same bytes each time.
 * `sha256` is the digest of the whole body where the caller knows it already; otherwise the store computes it
 * while it sends, so that a body is read once. A source that gives fewer, more or other bytes than announced is
 * FILE_SYSTEM and stores nothing; a chunk that was handed out is not written to again by the source.
 */
export interface Body {
  sizeBytes: number
  open(): Readable | AsyncIterable<Uint8Array>
  sha256?: string
}

/** What a write answers: the digest of the bytes that were sent, computed while they were sent. */
export interface WrittenObject {
  key: string
  sizeBytes: number
  /** Lowercase hex. */
  sha256: string
  /** False when an object with equal content was there already, so that nothing was stored. */
  created: boolean
}

export interface WriteOptions {
  signal?: AbortSignal
  /** Called with the number of bytes of this object sent so far (bytes of a failed try are taken back). */
  onProgress?: (sentBytes: number) => void
}

/**
 * A half-open range of bytes; `end` absent means to the end of the object, one beyond the end is clipped.
 * A range that starts at or beyond the end, or is empty, is STORE_REJECTED.
 */
export interface ByteRange {
  start: number
  end?: number
}

export interface ReadOptions {
  range?: ByteRange
  signal?: AbortSignal
}

export interface ObjectReader {
  /** The size of the whole object, whatever range was asked for. */
  sizeBytes: number
  modifiedAt: Date
  /** The bytes of the range. Ends with an error when fewer bytes arrive than were announced; never short in silence. */
  body: Readable
}

/** What a store was seen to honour. Probed on the store itself, never assumed from its name. */
export interface StoreCapabilities {
  /** Of two concurrent creates of one key, exactly one wins. Without it, one writer a verb is the operator's duty. */
  conditionalCreate: boolean
  /** A body that arrives with other bytes than were sent is refused by the store. */
  verifiedUploads: boolean
  /** What this store cannot guarantee, in words for `doctor`. */
  caveats: string[]
}

/**
 * Where objects live. Keys are relative, `/`-separated, without `.` or `..` segments (see `keys.ts`).
 *
 * Obligations of every implementation and wrapper, held by `test/contracts/object-store-contract.ts`:
 * - A write is atomic: readers and listings see the whole object or none, also after a crash.
 * - After a write resolves, reads, listings and a power cut see it.
 * - Errors are PromDrErrors: OBJECT_NOT_FOUND (the object, or its bucket for reads), STORE_UNREACHABLE (may pass:
 *   retried), STORE_DENIED, STORE_BAD_RESPONSE (not an object store, or garbled), STORE_REJECTED (said no for good),
 *   DISK_FULL, KEY_INVALID, INTERRUPTED (the signal).
 * - No credential appears in `url`, in an error or in a log.
 */
export interface ObjectStore {
  /** For people: scheme, host or path, prefix; without credentials. */
  readonly url: string

  /** Whether it names objects page by page, each asked for after the one before: many are then listed faster in several narrow listings at once. */
  readonly listsInPages: boolean

  /**
   * Stores the body under a key that does not exist yet.
   * Equal content under the key is success (`created: false`).
   * @throws OBJECT_EXISTS when the key is taken by other content.
   */
  create(key: string, body: Body, options?: WriteOptions): Promise<WrittenObject>

  /** Stores the body under a mutable key, replacing what is there. */
  put(key: string, body: Body, options?: WriteOptions): Promise<WrittenObject>

  /** @throws OBJECT_NOT_FOUND */
  get(key: string, options?: ReadOptions): Promise<ObjectReader>

  /** Undefined when there is no such object. */
  head(key: string, options?: { signal?: AbortSignal }): Promise<StoredObject | undefined>

  /** Every object whose key starts with `prefix`, in ascending key order (UTF-8 bytes). A missing bucket or directory lists nothing. */
  list(prefix: string, options?: { signal?: AbortSignal }): AsyncIterable<StoredObject>

  /** The distinct next segments below `prefix` (which is '' or ends in '/'), that have objects below them; without slash, in the order of the keys below. */
  listFolders(prefix: string, options?: { signal?: AbortSignal }): AsyncIterable<string>

  /** Removes the objects. Idempotent: one that is not there is success. */
  delete(keys: readonly string[], options?: { signal?: AbortSignal }): Promise<void>

  /** The store's clock now: what ages of marks and leases are judged by. */
  now(options?: { signal?: AbortSignal }): Promise<Date>

  /**
   * What the store honours, found by trying it below `prefix` (objects written there are removed again); once an
   * instance, later calls answer from memory. @throws as a write does when the store cannot be written.
   */
  capabilities(prefix: string, options?: { signal?: AbortSignal }): Promise<StoreCapabilities>

  /** Releases connections. The store is not used after. */
  close(): Promise<void>
}

/** Until when nobody may remove an object. */
export interface ObjectLock {
  mode: 'GOVERNANCE' | 'COMPLIANCE'
  until: Date
}

/** What only some stores have: classes of storage, and locks. Keys are those of objects as they are stored. */
export interface ObjectTiering {
  /** Every object below the prefix, with the class it is in. */
  listClasses(prefix: string, options?: { signal?: AbortSignal }): AsyncGenerator<StoredObject & { storageClass: string }, void, undefined>

  /** Moves an object of at most 5 GiB within the store. Readers see it all the time; a lock stays. @throws OBJECT_NOT_FOUND */
  moveToClass(key: string, storageClass: string, options?: { signal?: AbortSignal }): Promise<void>

  /** Locks an object; one that is locked for longer stays so. @throws STORE_REJECTED where the store has no locks */
  lock(key: string, lock: ObjectLock, options?: { signal?: AbortSignal }): Promise<void>

  /** Whether objects can be locked here at all. @throws STORE_DENIED where that may not be asked */
  locksEnabled(options?: { signal?: AbortSignal }): Promise<boolean>

  /** Undefined for an object that is not locked, or not there. */
  lockedUntil(key: string, options?: { signal?: AbortSignal }): Promise<Date | undefined>

  close(): Promise<void>
}

/** A body of bytes that are in memory already. */
export function bytesBody(bytes: Uint8Array): Body {
  return {
    sizeBytes: bytes.byteLength,
    async *open() {
      yield bytes
    },
  }
}
