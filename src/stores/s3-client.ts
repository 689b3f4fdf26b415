import { readFileSync } from 'node:fs'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { rootCertificates } from 'node:tls'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { messageOf, PromDrError } from '../errors.ts'
import { type Clock, systemClock } from '../system/clock.ts'
import { type Logger, silentLogger } from '../system/logger.ts'
import { throwIfInterrupted } from './interruption.ts'
import { s3Code, s3Error } from './s3-errors.ts'
import { refuseWebPages } from './s3-middleware.ts'

export interface S3Settings {
  region?: string
  /** For everything that is not AWS: `https://host:port`. */
  endpoint?: string
  /** `https://host/bucket/key` rather than `https://bucket.host/key`; what most servers other than AWS want. */
  forcePathStyle?: boolean
  profile?: string
  accessKeyId?: string
  secretAccessKey?: string
  sessionToken?: string
  /** Objects above it are sent in parts of it. At least 5 MiB, the least that S3 takes. */
  partSizeBytes?: number
  /** Parts of an object under way at once. */
  concurrency?: number
  /** PEM file of the authority that signed the endpoint's certificate, in addition to the known ones. */
  caFile?: string
  /** How long a connection may stay silent. */
  timeoutMs?: number
  /** Encryption by the server, of every object: with its own keys, or with one of its key service. */
  sse?: 'AES256' | 'aws:kms'
  sseKmsKeyId?: string
}

export interface S3Options extends S3Settings {
  bucket: string
  /** '' or ending in '/'. */
  prefix: string
  clock?: Clock
  logger?: Logger
  /** The class that an object is written to; undefined: that of the bucket. */
  storageClassOf?: (key: string) => string | undefined
}

/** What the modules of the S3 store share. */
export interface S3Connection {
  readonly client: S3Client
  readonly bucket: string
  readonly prefix: string
  readonly url: string
  readonly timeoutMs: number
  readonly logger: Logger
  /** What every write says about encryption by the server. */
  readonly encryption: { ServerSideEncryption?: 'AES256' | 'aws:kms'; SSEKMSKeyId?: string }
  /** What every write of the key says besides: its class, and `encryption`. */
  writeSettings(key: string): { StorageClass?: 'STANDARD' } & S3Connection['encryption']
  /** Runs requests and turns whatever they throw into a PromDrError that tells what was being done. */
  call<T>(call: S3Call, request: (options: { abortSignal?: AbortSignal }) => Promise<T>): Promise<T>
}

export interface S3Call {
  /** 'read', 'write', 'list'…: completes "cannot … KEY". */
  action: string
  key?: string
  signal?: AbortSignal | undefined
}

const defaultTimeoutMs = 30_000
const longestConnectMs = 10_000
const sdkTries = 3
const sockets = 64

export function connectS3(options: S3Options): S3Connection {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs
  const clock = options.clock ?? systemClock
  const url = `s3://${options.bucket}${options.prefix === '' ? '' : `/${options.prefix.slice(0, -1)}`}`
  // The advice to move to a newer Node belongs into `doctor`, not on the screen of someone who restores.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  const client = new S3Client(clientConfig(options, timeoutMs))
  refuseWebPages(client.middlewareStack)
  const encryption = { ...(options.sse !== undefined && { ServerSideEncryption: options.sse }), ...(options.sseKmsKeyId !== undefined && { SSEKMSKeyId: options.sseKmsKeyId }) }
  const where = { url, endpoint: options.endpoint, region: options.region }
  return {
    client,
    bucket: options.bucket,
    prefix: options.prefix,
    url,
    timeoutMs,
    logger: options.logger ?? silentLogger,
    encryption,
    writeSettings(key) {
      const storageClass = options.storageClassOf?.(key) as 'STANDARD' | undefined
      return { ...encryption, ...(storageClass !== undefined && { StorageClass: storageClass }) }
    },
    async call({ action, key, signal }, request) {
      throwIfInterrupted(signal)
      const sendOptions = signal === undefined ? {} : { abortSignal: signal }
      try {
        try {
          return await request(sendOptions)
        } catch (error) {
          // The SDK has learned the server's time from this answer, but tries again by itself only in some cases.
          if (s3Code(error) !== 'RequestTimeTooSkewed') throw error
          return await request(sendOptions)
        }
      } catch (error) {
        throw s3Error(error, { ...where, action, key, signal, now: clock.now() })
      }
    },
  }
}

function clientConfig(options: S3Options, timeoutMs: number): S3ClientConfig {
  const ca = options.caFile === undefined ? undefined : [...rootCertificates, readCa(options.caFile)]
  const agent = { keepAlive: true, maxSockets: sockets }
  const config: S3ClientConfig = {
    // Servers other than AWS take any region; AWS answers a wrong one with the right one.
    region: options.region ?? process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'] ?? 'us-east-1',
    forcePathStyle: options.forcePathStyle ?? options.endpoint !== undefined,
    maxAttempts: sdkTries,
    retryMode: 'standard',
    // Trailing checksums of streams are refused or stored as content by some servers; every body here has its own digest.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // A round trip more for each part, and seconds on servers that do not answer it.
    expectContinueHeader: false,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: Math.min(timeoutMs, longestConnectMs),
      socketTimeout: timeoutMs,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent(ca === undefined ? agent : { ...agent, ca }),
    }),
  }
  if (options.endpoint !== undefined) config.endpoint = options.endpoint
  if (options.profile !== undefined) config.profile = options.profile
  if (options.accessKeyId !== undefined && options.secretAccessKey !== undefined) {
    config.credentials = {
      accessKeyId: options.accessKeyId,
      secretAccessKey: options.secretAccessKey,
      ...(options.sessionToken !== undefined && { sessionToken: options.sessionToken }),
    }
  }
  return config
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new PromDrError('CONFIG_INVALID', `s3.caFile ${path} cannot be read: ${messageOf(error)}`, { cause: error, hint: 'name a PEM file that this user can read' })
  }
}
