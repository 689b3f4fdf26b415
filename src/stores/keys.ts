import { PromDrError } from '../errors.ts'

const maxKeyBytes = 1024

/**
 * Refuses keys that could name something outside the store or that stores disagree on: absolute, empty or dot
 * segments, backslashes, control characters, more than 1024 bytes (the S3 limit). Every store calls it first.
 * @throws KEY_INVALID
 */
export function checkKey(key: string): string {
  const bad = keyProblem(key)
  if (bad !== undefined) {
    throw new PromDrError('KEY_INVALID', `object key ${JSON.stringify(key.slice(0, 200))} is refused: ${bad}`, {
      hint: 'a manifest that names such a key was not written by prom-dr: run "prom-dr verify"',
    })
  }
  return key
}

/** True for a key that `checkKey` accepts. */
export function isKey(key: string): boolean {
  return keyProblem(key) === undefined
}

function keyProblem(key: string): string | undefined {
  if (key === '') return 'it is empty'
  if (Buffer.byteLength(key) > maxKeyBytes) return `it is longer than ${maxKeyBytes} bytes`
  if (key.includes('\\')) return 'it has a backslash'
  if (/[\u0000-\u001f\u007f]/.test(key)) return 'it has a control character'
  for (const segment of key.split('/')) {
    if (segment === '') return 'it has an empty segment'
    if (segment === '.' || segment === '..') return `it has a "${segment}" segment`
  }
  return undefined
}

/**
 * Refuses listing prefixes that no valid key can start with. A prefix may end inside a segment (`blocks/01J`).
 * @throws KEY_INVALID
 */
export function checkPrefix(prefix: string): string {
  if (prefix !== '') checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
  return prefix
}

/** @throws KEY_INVALID when the prefix of a folder listing ends inside a segment */
export function checkFolderPrefix(prefix: string): void {
  checkPrefix(prefix)
  if (prefix !== '' && !prefix.endsWith('/')) throw new PromDrError('KEY_INVALID', `folder prefix ${JSON.stringify(prefix)} does not end in "/"`)
}

/** Orders keys by their UTF-8 bytes, as S3 lists them. JavaScript's own order differs for characters above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index)
    const right = b.charCodeAt(index)
    if (left !== right) return isSurrogate(left) === isSurrogate(right) || left < 0xd800 || right < 0xd800 ? left - right : isSurrogate(left) ? 1 : -1
  }
  return a.length - b.length
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}
