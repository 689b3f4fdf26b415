import { createHash } from 'node:crypto'
import { PromDrError } from '../errors.ts'

/**
 * JSON documents that carry a checksum of their content in their last line:
 *
 *     {
 *      "version": 1,
 *      …,
 *     "checksum": "sha256:<64 hex digits>"}
 *
 * The digest is of every byte before the last line, so that standard tools can check it:
 * `head -n -1 FILE | sha256sum` against `tail -n 1 FILE`.
 */
const lastLine = /^"checksum": "sha256:([0-9a-f]{64})"\}\n$/
const lastLineBytes = Buffer.byteLength(`"checksum": "sha256:${'0'.repeat(64)}"}\n`)

/** The sealed text of an object with at least one field and none called `checksum`. */
export function sealJson(value: object): string {
  const text = JSON.stringify(value, undefined, 1)
  const body = `${text.slice(0, text.lastIndexOf('\n'))},\n`
  return `${body}"checksum": "sha256:${digestOf(Buffer.from(body))}"}\n`
}

/**
 * The value of a sealed document.
 * @throws DAMAGED when the checksum is missing or does not fit, or the text is not JSON; `name` tells which document.
 */
export function unsealJson(bytes: Uint8Array, name: string): Record<string, unknown> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bodyBytes = buffer.length - lastLineBytes
  const match = bodyBytes > 0 ? lastLine.exec(buffer.toString('utf8', bodyBytes)) : null
  if (match === null) throw damaged(name, 'its last line is not a checksum: it was cut off, or is no document of prom-dr')
  const digest = digestOf(buffer.subarray(0, bodyBytes))
  if (digest !== match[1]) throw damaged(name, `its content has SHA-256 ${digest}, its checksum says ${match[1]}`)
  try {
    const { checksum: _, ...value } = JSON.parse(buffer.toString('utf8')) as Record<string, unknown>
    return value
  } catch (error) {
    throw damaged(name, `it is not JSON: ${(error as Error).message}`)
  }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function damaged(name: string, reason: string): PromDrError {
  return new PromDrError('DAMAGED', `${name} is damaged: ${reason}`, {
    hint: 'run "prom-dr verify" to see what else is damaged; other repositories may have a good copy',
    details: { key: name },
  })
}
