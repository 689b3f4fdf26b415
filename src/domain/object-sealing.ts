/**
 * Seals single objects of a repository so that what is asked of an object without its key can still be answered: how many bytes it holds
 * (a pure function of what is stored), whom it is sealed for, and for small ones the digest of what is in it. Any stretch is read without
 * the rest. What is stored is a plain age file all the same.
 */
export interface ObjectSealing {
  /** Public keys that new objects are sealed for, sorted; empty where objects can only be opened. */
  readonly recipients: readonly string[]

  /** Bytes at the beginning of each stored object that `openHead` and `readNote` need. */
  readonly headBytes: number

  storedBytes(plainBytes: number): number

  /** Undefined for a size that no sealed object has. */
  plainBytes(storedBytes: number): number | undefined

  /** A new object under a key of its own. `plainSha256` is noted in it in the clear. */
  seal(note: { plainSha256?: string | undefined }): Promise<SealedObject>

  /** What stands in the clear at the beginning; undefined where it was sealed by something else. */
  readNote(head: Uint8Array): SealNote | undefined

  /** @throws KEY_MISSING, DAMAGED */
  openHead(head: Uint8Array): Promise<OpenedObject>
}

export interface SealNote {
  recipients: string[]
  plainSha256: string | undefined
}

export interface SealedObject {
  /**
   * The whole object. Called again it gives the same bytes.
   * @throws FILE_SYSTEM when the source gives other bytes than the first time: one key never seals two contents
   */
  encrypt(plain: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
}

export interface OpenedObject {
  /** Which stored bytes hold a stretch of the plain ones: half-open, of an object of `plainBytes`. */
  storedRange(range: { start: number; end: number }): { start: number; end: number }
  /** The stretch, from the bytes of its `storedRange`. @throws DAMAGED */
  decrypt(stored: AsyncIterable<Uint8Array>, range: { start: number; end: number; plainBytes: number }): AsyncIterable<Uint8Array>
}
