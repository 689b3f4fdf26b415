/**
 * Seals bytes for some readers, in the age format (https://age-encryption.org/v1), so that the stock `age` program opens what is stored.
 * Streams: bounded memory at any size.
 */
export interface Encryption {
  /** Public keys that new objects are sealed for, sorted; they are no secret. */
  readonly recipients: readonly string[]

  encrypt(plain: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>

  /**
   * @throws KEY_MISSING when no identity is configured or none of them opens it, with the recipients where they are known;
   * DAMAGED when the bytes are not those that were sealed
   */
  decrypt(sealed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
}
