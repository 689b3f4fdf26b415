import type { SealNote } from '../../domain/object-sealing.ts'
import { damagedPayload } from './payload.ts'

/**
 * What can be known of an age file without a key. Headers of ours end in a stanza that no age program knows and all pass over: it says in
 * the clear whom the file is sealed for and, where it was known, the SHA-256 of what is in it, and fills the header up to one length whoever
 * it is for:
 *
 *     -> prom-dr/object age1… age1… ........
 *     <base64 of the SHA-256, or an empty line>
 */
export const headerBytes = 2048
/** As many as the header has room for. */
export const mostRecipients = 10

export const noteType = 'prom-dr/object'
export const firstLine = 'age-encryption.org/v1\n'
const mostHeaderBytes = 64 * 1024

/** How many bytes the header has that the file begins with; undefined while its end has not come. @throws DAMAGED when it is none */
export function headerLength(beginning: Buffer): number | undefined {
  const start = beginning.toString('latin1', 0, Math.min(beginning.length, firstLine.length))
  if (!firstLine.startsWith(start)) throw damagedPayload('it does not begin as an age file does')
  const mac = beginning.indexOf('\n--- ')
  const end = mac === -1 ? -1 : beginning.indexOf('\n', mac + 1)
  if (end !== -1) return end + 1
  if (beginning.length > mostHeaderBytes) throw damagedPayload(`its header has more than ${mostHeaderBytes} bytes`)
  return undefined
}

/** The note of ours in a header; undefined in files that were sealed by something else. Nothing vouches for it before the header is opened. */
export function readNote(header: Uint8Array): SealNote | undefined {
  const lines = Buffer.from(header).toString('latin1').split('\n')
  const at = lines.findIndex((line) => line.startsWith(`-> ${noteType} `))
  if (at === -1) return undefined
  const body = lines[at + 1] ?? ''
  return { recipients: recipientsIn((lines[at] ?? '').slice(3).split(' ')), plainSha256: body.length === 43 ? Buffer.from(body, 'base64').toString('hex') : undefined }
}

/** The recipients among the words of a note. */
export function recipientsIn(args: readonly string[]): string[] {
  return args.filter((arg) => /^age1[a-z0-9]{20,200}$/.test(arg))
}
