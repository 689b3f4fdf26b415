const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const pattern = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/

/** True for a ULID as Prometheus writes it: 26 upper-case Crockford characters, 128 bits (so the first is at most 7). */
export function isUlid(text: string): boolean {
  return pattern.test(text)
}

/** The Unix time in ms at which the ULID was made: of a block, when it was written. @throws RangeError when it is no ULID. */
export function ulidTime(ulid: string): number {
  if (!isUlid(ulid)) throw new RangeError(`not a ULID: ${JSON.stringify(ulid.slice(0, 40))}`)
  let timeMs = 0
  for (const character of ulid.slice(0, 10)) timeMs = timeMs * 32 + alphabet.indexOf(character)
  return timeMs
}

/** The ULID of `nowMs` and ten random bytes. @throws RangeError when the time has more than 48 bits or there are not ten bytes. */
export function newUlid(nowMs: number, randomBytes: Uint8Array): string {
  if (!Number.isInteger(nowMs) || nowMs < 0 || nowMs >= 2 ** 48) throw new RangeError(`no ULID has the time ${nowMs}`)
  if (randomBytes.length !== 10) throw new RangeError(`a ULID has 10 random bytes, not ${randomBytes.length}`)
  let value = BigInt(nowMs)
  for (const byte of randomBytes) value = (value << 8n) | BigInt(byte)
  let text = ''
  for (let i = 0; i < 26; i++) {
    text = alphabet.charAt(Number(value & 31n)) + text
    value >>= 5n
  }
  return text
}
