import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import type { TestContext } from 'vitest'
import { needPrograms } from './programs.ts'

export const s3ServerScript = join(import.meta.dirname, 's3-server.sh')

/** The S3 server of this test run. */
export interface TestS3Server {
  endpoint: string
  /** The same server behind a certificate that `caFile` signed. */
  tlsEndpoint: string
  caFile: string
  region: string
  accessKeyId: string
  secretAccessKey: string
}

export interface TestBucket extends TestS3Server {
  bucket: string
  /** The ids of uploads that were neither completed nor aborted. */
  openUploads(): Promise<string[]>
}

const debianPrograms = ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph', 'radosgw-admin', 'openssl']
const startTimeoutMs = 60_000
const firstMakeTimeoutMs = 500_000

/** '16' is Debian 12's own; others are made in a chroot with debootstrap. */
function gatewayVersion(): string {
  return process.env['PROM_DR_TEST_RGW'] ?? '16'
}

/** A new bucket on the run's own server, which is started when the first test asks. Skips or fails the test without the programs. */
export async function createTestBucket(context: Pick<TestContext, 'skip'>): Promise<TestBucket> {
  const server = await testS3Server(context)
  const bucket = `test-${randomUUID()}`
  const client = clientOf(server)
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  return {
    ...server,
    bucket,
    async openUploads() {
      const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
      return (Uploads ?? []).map((upload) => `${upload.UploadId}`)
    },
  }
}

/** The run's server without a bucket. */
export async function testS3Server(context: Pick<TestContext, 'skip'>): Promise<TestS3Server> {
  needPrograms(context, ...(gatewayVersion() === '16' ? debianPrograms : ['debootstrap', 'openssl']))
  const directory = process.env['PROM_DR_TEST_S3_DIRECTORY']
  if (directory === undefined) throw new Error('test/support/s3-global-setup.ts has not run: see globalSetup in vitest.config.ts')
  return await startOnce(directory)
}

function clientOf(server: TestS3Server): S3Client {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  return new S3Client({ endpoint: server.endpoint, region: server.region, forcePathStyle: true, credentials: server, requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED' })
}

/** Test files run in parallel processes: the first to make the directory starts the server, the others wait for its answer. */
async function startOnce(directory: string): Promise<TestS3Server> {
  const answerFile = join(directory, 'server.json')
  const timeoutMs = gatewayVersion() === '16' ? startTimeoutMs : firstMakeTimeoutMs
  if (madeDirectory(join(directory, 'starting'))) writeAnswer(answerFile, await start(directory, timeoutMs).catch((error: Error) => ({ error: error.message })))
  const deadline = Date.now() + timeoutMs
  while (!existsSync(answerFile)) {
    if (Date.now() > deadline) throw new Error(`the S3 server did not start within ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const answer = JSON.parse(readFileSync(answerFile, 'utf8')) as TestS3Server | { error: string }
  if ('error' in answer) throw new Error(`the S3 server did not start: ${answer.error}`)
  return answer
}

function madeDirectory(path: string): boolean {
  try {
    mkdirSync(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function writeAnswer(path: string, answer: object): void {
  writeFileSync(`${path}.new`, JSON.stringify(answer))
  renameSync(`${path}.new`, path)
}

async function start(directory: string, timeoutMs: number): Promise<TestS3Server> {
  const [port, tlsPort, monitorPort] = await freePorts(3)
  const keys = { accessKeyId: 'TESTACCESSKEY0001', secretAccessKey: randomUUID().replaceAll('-', '') }
  spawn(s3ServerScript, ['watch', directory, process.env['PROM_DR_TEST_S3_OWNER'] ?? String(process.pid)], { detached: true, stdio: 'ignore' }).unref()
  await promisify(execFile)(s3ServerScript, ['start', directory, `${port}`, `${tlsPort}`, `${monitorPort}`], {
    env: { ...process.env, PROM_DR_TEST_S3_ACCESS_KEY: keys.accessKeyId, PROM_DR_TEST_S3_SECRET_KEY: keys.secretAccessKey },
    timeout: timeoutMs,
  })
  return { ...keys, endpoint: `http://127.0.0.1:${port}`, tlsEndpoint: `https://127.0.0.1:${tlsPort}`, caFile: join(directory, 'ca.pem'), region: 'us-east-1' }
}

/** Ports that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
        }),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
