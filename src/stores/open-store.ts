import { fileURLToPath } from 'node:url'
import { PromDrError } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import { createFileStore } from './file-store.ts'
import { isKey } from './keys.ts'
import type { ObjectStore, ObjectTiering } from './object-store.ts'
import { createRetryingStore } from './retrying-store.ts'
import type { S3Settings } from './s3-client.ts'

export interface ObjectStoreConfig {
  /** `file:///directory` or `s3://bucket/prefix`. */
  url: string
  s3?: S3Settings
}

export interface OpenStoreOptions {
  /** The class that an object is written to, where the store has classes. */
  storageClassOf?: (key: string) => string | undefined
  clock: Clock
  logger: Logger
  /** How long outages are waited out. 0: an error is an error at once, as `doctor` wants it. Default: 2 minutes. */
  retryBudgetMs?: number
}

/** Where an object store's URL points. */
export type StoreLocation = { scheme: 'file'; root: string } | { scheme: 's3'; bucket: string; prefix: string }

const urlHint = 'write file:///absolute/directory or s3://bucket/prefix'
const leastPartBytes = 5 * 1024 * 1024
const mostPartBytes = 96 * 1024 * 1024
const mostConcurrency = 32

/**
 * The store of a URL, with outages waited out. Nothing is connected to yet. The S3 client is loaded only for those who use it: that
 * takes longer than a listing of a directory.
 * @throws CONFIG_INVALID
 */
export async function openObjectStore(config: ObjectStoreConfig, options: OpenStoreOptions): Promise<ObjectStore> {
  const { clock, logger, retryBudgetMs } = options
  const store = await openPlainStore(config, options)
  if (retryBudgetMs === 0) return store
  return createRetryingStore(store, { clock, logger, ...(retryBudgetMs !== undefined && { budgetMs: retryBudgetMs }) })
}

/** Classes and locks of the store's objects; undefined where it has none. Nothing is connected to yet. @throws CONFIG_INVALID */
export async function openObjectTiering(config: ObjectStoreConfig, { clock, logger }: OpenStoreOptions): Promise<ObjectTiering | undefined> {
  const location = parseStoreUrl(config.url)
  if (location.scheme !== 's3') return undefined
  const { createS3Tiering } = await import('./s3-tiering.ts')
  return createS3Tiering({ ...checkSettings(config.s3 ?? {}), ...location, clock, logger })
}

async function openPlainStore(config: ObjectStoreConfig, { clock, logger, storageClassOf }: OpenStoreOptions): Promise<ObjectStore> {
  const location = parseStoreUrl(config.url)
  if (location.scheme === 'file') return createFileStore({ root: location.root, clock })
  const settings = checkSettings(config.s3 ?? {})
  const { createS3Store } = await import('./s3-store.ts')
  return createS3Store({ ...settings, ...location, clock, logger, ...(storageClassOf !== undefined && { storageClassOf }) })
}

/** @throws CONFIG_INVALID; credentials in the URL are refused without being repeated */
export function parseStoreUrl(url: string): StoreLocation {
  if (/^[a-z0-9]+:\/\/[^/]*@/i.test(url)) throw invalid('the url of a repository has credentials in it', 'put them into s3.accessKeyId and s3.secretAccessKey, or the environment')
  if (/^file:/i.test(url)) return { scheme: 'file', root: fileRoot(url) }
  const s3 = /^s3:\/\/([^/?#]+)(?:\/([^?#]*))?$/i.exec(url)
  if (s3 === null) throw invalid(`${JSON.stringify(url)} is not the url of an object store`, urlHint)
  const [, bucket = '', path = ''] = s3
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket)) throw invalid(`${JSON.stringify(bucket)} in ${url} is not the name of a bucket`, urlHint)
  const prefix = path.replace(/^\/+|\/+$/g, '')
  if (prefix !== '' && !isKey(prefix)) throw invalid(`the prefix ${JSON.stringify(prefix)} in ${url} has an empty, "." or ".." segment or a forbidden character`, urlHint)
  return { scheme: 's3', bucket, prefix: prefix === '' ? '' : `${prefix}/` }
}

function fileRoot(url: string): string {
  if (!/^file:\/\/(localhost)?\/[^?#]*$/i.test(url)) throw invalid(`${JSON.stringify(url)} does not name an absolute directory`, 'write file:///absolute/directory, with three slashes')
  let root: string
  try {
    root = fileURLToPath(url)
  } catch (error) {
    throw invalid(`${JSON.stringify(url)} does not name a directory: ${(error as Error).message}`, urlHint)
  }
  if (root === '/') throw invalid('a repository cannot be the root directory', urlHint)
  return root
}

function checkSettings(settings: S3Settings): S3Settings {
  const { endpoint, accessKeyId, secretAccessKey, sessionToken, partSizeBytes, concurrency, timeoutMs } = settings
  if (endpoint !== undefined && !isEndpoint(endpoint)) throw invalid('s3.endpoint is not http(s)://host[:port] without path and credentials', 'write for example https://s3.example.org:9000')
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) throw invalid('of s3.accessKeyId and s3.secretAccessKey only one is given', 'give both, or neither to use the environment, the profile or the role of the host')
  if (sessionToken !== undefined && accessKeyId === undefined) throw invalid('s3.sessionToken is given without s3.accessKeyId', 'give all three')
  checkNumber('partSizeBytes', partSizeBytes, leastPartBytes, mostPartBytes)
  checkNumber('concurrency', concurrency, 1, mostConcurrency)
  checkNumber('timeoutMs', timeoutMs, 1, 3_600_000)
  return settings
}

function checkNumber(name: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return
  throw invalid(`s3.${name} is ${value}`, `choose a whole number from ${least} to ${most}`)
}

function isEndpoint(endpoint: string): boolean {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.pathname === '/' && url.search === '' && url.hash === ''
}

function invalid(message: string, hint: string): PromDrError {
  return new PromDrError('CONFIG_INVALID', message, { hint })
}
