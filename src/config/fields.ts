import { isAbsolute, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import { whyNotAgeRecipient } from '../domain/age-recipient.ts'
import { parseByteSize } from '../domain/byte-size.ts'
import { parseDuration } from '../domain/duration.ts'

/** Looks at files for the configuration; implemented in `system/`. */
export interface ConfigFiles {
  /** The text of a file; undefined when there is none. @throws FILE_SYSTEM when it is there and cannot be read. */
  readText(path: string): string | undefined
  /** Why the file cannot be read, undefined when it can. */
  whyUnreadable(path: string): string | undefined
}

/** A field whose text is parsed; what `parse` says is wrong (USAGE) becomes a problem of this field. */
function parsed<T>(parse: (text: string) => T) {
  return z.unknown().transform((value, context): T => {
    if (typeof value === 'string' || typeof value === 'number') {
      try {
        return parse(String(value))
      } catch (error) {
        if (!hasCode(error, 'USAGE')) throw error
        context.issues.push({ code: 'custom', message: error.hint === undefined ? error.message : `${error.message}: ${error.hint}`, input: value })
        return z.NEVER
      }
    }
    const message = value === null ? 'has no value' : value === undefined ? 'is required' : 'must be a single value'
    context.issues.push({ code: 'custom', message, input: value })
    return z.NEVER
  })
}

function refuse(message: string): never {
  throw new PromDrError('USAGE', message)
}

export const text = () => z.string().min(1, 'is empty')

/** Milliseconds of a Prometheus duration. */
export function duration(options: { minMs?: number } = {}) {
  return parsed((value) => {
    const ms = prefixed(value, parseDuration)
    return ms >= (options.minMs ?? 1) ? ms : refuse(`${value} is too short: at least ${options.minMs ?? 1}ms`)
  })
}

/** Bytes of a size. */
export function byteSize(options: { minBytes?: number; maxBytes?: number } = {}) {
  return parsed((value) => {
    const bytes = prefixed(value, parseByteSize)
    if (bytes < (options.minBytes ?? 1)) refuse(`${value} is too small: at least ${options.minBytes ?? 1} bytes`)
    return bytes <= (options.maxBytes ?? Infinity) ? bytes : refuse(`${value} is too large: at most ${options.maxBytes} bytes`)
  })
}

/** Domain messages start with the value; a problem's message starts with the key. */
function prefixed<T>(value: string, parse: (text: string) => T): T {
  try {
    return parse(value)
  } catch (error) {
    if (!hasCode(error, 'USAGE')) throw error
    throw new PromDrError('USAGE', `is wrong: ${error.message}`, error.hint === undefined ? {} : { hint: error.hint })
  }
}

export function wholeNumber(min: number, max: number) {
  return parsed((value) => {
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN
    return number >= min && number <= max ? number : refuse(`must be a whole number from ${min} to ${max}, not ${value}`)
  })
}

export function decimal(min: number, max: number) {
  return parsed((value) => {
    const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN
    return number >= min && number <= max ? number : refuse(`must be a number from ${min} to ${max}, not ${value}`)
  })
}

/** true or false, also as text: a value from the environment is always text. */
export function yesOrNo() {
  return z.preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean())
}

/** An http(s) URL without credentials, query or trailing slash. */
export function httpUrl() {
  return parsed((value) => {
    const url = URL.canParse(value) ? new URL(value) : undefined
    if (url === undefined) refuse('must be an http:// or https:// address')
    if (url.username !== '' || url.password !== '') refuse('has credentials in it: give them as settings of their own')
    if (url.protocol !== 'http:' && url.protocol !== 'https:') refuse(`must begin with http:// or https://, not ${url.protocol}`)
    if (url.search !== '' || url.hash !== '') refuse(`${value} must have no query and no fragment`)
    return url.href.replace(/\/+$/, '')
  })
}

/** `file:///dir`, a path, or `s3://bucket/prefix`; paths are taken from `baseDir`. */
export function repositoryUrl(baseDir: string) {
  return parsed((value) => {
    if (value.startsWith('s3://')) return s3Url(value)
    if (value.startsWith('file:///')) return pathToFileURL(fileUrlPath(value)).href
    if (isAbsolute(value) || /^\.\.?\//.test(value)) return pathToFileURL(resolve(baseDir, value)).href.replace(/\/+$/, '')
    return refuse(`must be file:///directory, s3://bucket/prefix, or a path that begins with / or ./`)
  })
}

function fileUrlPath(value: string): string {
  if (!URL.canParse(value)) refuse(`${value} is not a file URL`)
  const path = resolve(fileURLToPath(new URL(value)))
  return path === '/' ? refuse('must not be the root directory') : path
}

function s3Url(value: string): string {
  const match = /^s3:\/\/([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:\/(.*))?$/i.exec(value)
  if (match === null) refuse('must be s3://bucket/prefix, with a bucket name of 3 to 63 letters, digits, dots and dashes')
  const segments = (match[2] ?? '').split('/').filter((segment) => segment !== '')
  if (segments.some((segment) => segment === '.' || segment === '..' || /[?#\\\u0000-\u001f]/.test(segment))) {
    refuse(`${value} has a prefix that stores disagree on: no "..", "?", "#" or backslash`)
  }
  return ['s3:/', match[1], ...segments].join('/')
}

/** The public key of an age key pair. */
export function ageRecipient() {
  return parsed((value) => {
    const why = whyNotAgeRecipient(value)
    return why === undefined ? value : refuse(why)
  })
}

/** An absolute path; a relative one is taken from `baseDir`. */
export function path(baseDir: string) {
  return text().transform((value) => resolve(baseDir, value))
}

/** A path that is absolute as it is given, of a file whose name ends in `suffix`. It need not be there. */
export function absoluteFile(suffix: string) {
  return parsed((value) => {
    if (!isAbsolute(value) || value.includes('\0')) refuse(`must be an absolute path, not ${value}`)
    return value.endsWith(suffix) ? resolve(value) : refuse(`must end in ${suffix}, not ${value}: other files are not collected`)
  })
}

/** The absolute path of a file that must be there and readable. */
export function existingFile(baseDir: string, files: ConfigFiles) {
  return text().transform((value, context) => {
    const absolute = resolve(baseDir, value)
    const why = files.whyUnreadable(absolute)
    if (why !== undefined) context.issues.push({ code: 'custom', message: `names ${absolute}, ${why}`, input: value })
    return absolute
  })
}
