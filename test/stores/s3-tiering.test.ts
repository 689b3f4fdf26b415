import { randomUUID } from 'node:crypto'
import { CreateBucketCommand, DeleteObjectCommand, HeadObjectCommand, ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3'
import { type TestContext, describe, expect, test } from 'vitest'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { createS3Tiering } from '../../src/stores/s3-tiering.ts'
import { startS3FaultProxy } from '../fakes/s3-fault-proxy.ts'
import { patternBody, readText } from '../support/bodies.ts'
import { createTestBucket, testS3Server } from '../support/s3-server.ts'

const hourMs = 3_600_000

async function lockedBucket(context: TestContext) {
  const server = await testS3Server(context)
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  const client = new S3Client({ endpoint: server.endpoint, region: server.region, forcePathStyle: true, credentials: server, requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED' })
  const bucket = `locks-${randomUUID()}`
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }))
  const options = { ...server, bucket, prefix: 'some/prefix/', partSizeBytes: 5 * 1024 * 1024 }
  const [store, tiering] = [createS3Store(options), createS3Tiering(options)]
  context.onTestFinished(async () => {
    await Promise.all([store.close(), tiering.close()])
    client.destroy()
  })
  return { client, bucket, store, tiering, full: (key: string) => ({ Bucket: bucket, Key: `some/prefix/${key}` }) }
}

async function classes(tiering: ReturnType<typeof createS3Tiering>, prefix = ''): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for await (const { key, storageClass } of tiering.listClasses(prefix)) found[key] = storageClass
  return found
}

describe('classes of storage', () => {
  test('are given to what is written, small and in parts, and told by listing', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const options = { ...server, prefix: 'some/prefix/', partSizeBytes: 5 * 1024 * 1024, storageClassOf: (key: string) => (key.startsWith('cold/') ? 'STANDARD_IA' : undefined) }
    const [store, tiering] = [createS3Store(options), createS3Tiering(options)]
    await store.create('cold/small', patternBody(10))
    await store.create('cold/large', patternBody(6_000_000))
    await store.create('warm', patternBody(10))
    expect(await classes(tiering)).toEqual({ 'cold/large': 'STANDARD_IA', 'cold/small': 'STANDARD_IA', warm: 'STANDARD' })
    await Promise.all([store.close(), tiering.close()])
  })

  test('are changed within the store: the bytes and every name stay', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const options = { ...server, prefix: 'p x/', partSizeBytes: 5 * 1024 * 1024 }
    const [store, tiering] = [createS3Store(options), createS3Tiering(options)]
    await store.create('a b+c%/index', patternBody(1_000))
    const large = await store.create('large', patternBody(6_000_000))
    const before = await readText(store, 'a b+c%/index')
    for (let twice = 0; twice < 2; twice += 1) for (const key of ['a b+c%/index', 'large']) await tiering.moveToClass(key, 'GLACIER_IR')
    expect(await classes(tiering)).toEqual({ 'a b+c%/index': 'GLACIER_IR', large: 'GLACIER_IR' })
    expect(await readText(store, 'a b+c%/index')).toBe(before)
    expect(await store.create('large', patternBody(6_000_000))).toMatchObject({ sha256: large.sha256, created: false })
    await expect(tiering.moveToClass('gone', 'GLACIER_IR')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    await Promise.all([store.close(), tiering.close()])
  })
})

describe('locks', () => {
  test('hold what is small and what came in parts, and stay when it is moved to another class', async (context) => {
    const { store, tiering, client, bucket, full } = await lockedBucket(context)
    const until = new Date(Math.floor(Date.now() / 1000) * 1000 + hourMs)
    for (const [key, sizeBytes] of [['small', 10], ['large', 6_000_000]] as const) {
      await store.create(key, patternBody(sizeBytes))
      expect(await tiering.lockedUntil(key)).toBeUndefined()
      await tiering.lock(key, { mode: 'GOVERNANCE', until })
      await tiering.lock(key, { mode: 'GOVERNANCE', until: new Date(until.getTime() - 60_000) })
      expect(await tiering.lockedUntil(key)).toEqual(until)
      const { VersionId } = await client.send(new HeadObjectCommand(full(key)))
      await expect(client.send(new DeleteObjectCommand({ ...full(key), VersionId }))).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } })
      await tiering.moveToClass(key, 'STANDARD_IA')
      expect(await tiering.lockedUntil(key)).toEqual(until)
    }
    expect(await classes(tiering)).toEqual({ large: 'STANDARD_IA', small: 'STANDARD_IA' })
    // Whoever removes it all the same only hides it.
    await store.delete(['small'])
    expect(await tiering.lockedUntil('small')).toBeUndefined()
    const { Versions } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: 'some/prefix/small' }))
    expect(Versions?.length).toBeGreaterThan(0)
  })

  test('are made longer, never shorter', async (context) => {
    const { store, tiering } = await lockedBucket(context)
    await store.create('a', patternBody(10))
    const [soon, later] = [1, 2].map((hours) => new Date(Math.floor(Date.now() / 1000) * 1000 + hours * hourMs)) as [Date, Date]
    await tiering.lock('a', { mode: 'GOVERNANCE', until: soon })
    await tiering.lock('a', { mode: 'COMPLIANCE', until: later })
    await tiering.lock('a', { mode: 'GOVERNANCE', until: soon })
    expect(await tiering.lockedUntil('a')).toEqual(later)
  })

  test('are refused by a bucket that was made without them, with what to do', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const options = { ...server, prefix: '' }
    const [store, tiering] = [createS3Store(options), createS3Tiering(options)]
    await store.create('a', patternBody(10))
    expect(await tiering.lockedUntil('a')).toBeUndefined()
    await expect(tiering.lock('a', { mode: 'GOVERNANCE', until: new Date(Date.now() + hourMs) })).rejects.toMatchObject({ code: 'STORE_REJECTED', hint: expect.stringContaining('s3.tiers') })
    await Promise.all([store.close(), tiering.close()])
  })
})

test('encryption by the server is asked for with every write, parts and copies included', async (context) => {
  const { openUploads: _, ...server } = await createTestBucket(context)
  const proxy = await startS3FaultProxy(server.endpoint)
  const options = { ...server, endpoint: proxy.endpoint, prefix: '', partSizeBytes: 5 * 1024 * 1024, sse: 'AES256' as const }
  const [store, tiering] = [createS3Store(options), createS3Tiering(options)]
  const plain = createS3Store({ ...server, prefix: '' })
  await plain.put('a', patternBody(10))
  await plain.close()
  // The gateway of Debian 12 ignores it; newer ones refuse it where they have no keys.
  proxy.inject(({ method, headers }) => (method === 'GET' || headers['x-amz-server-side-encryption'] === undefined ? undefined : { kind: 'answer', status: 400, body: '<Error><Code>InvalidRequest</Code></Error>' }))
  for (const write of [() => store.put('a', patternBody(10)), () => store.put('b', patternBody(6_000_000)), () => tiering.moveToClass('a', 'STANDARD_IA')]) {
    await expect(write()).rejects.toMatchObject({ code: 'STORE_REJECTED' })
  }
  const asked = proxy.requests.filter(({ headers }) => headers['x-amz-server-side-encryption'] === 'AES256')
  expect(asked.length).toBeGreaterThanOrEqual(3)
  await Promise.all([store.close(), tiering.close()])
  await proxy.close()
})

test('an object that was moved to an archive class is told as that when it is read, with what to do', async (context) => {
  const { openUploads: _, ...server } = await createTestBucket(context)
  const proxy = await startS3FaultProxy(server.endpoint)
  const store = createS3Store({ ...server, endpoint: proxy.endpoint, prefix: '' })
  await store.put('blocks/index', patternBody(10))
  // No server here imitates archives: this is what AWS answers.
  proxy.inject(({ method }) => (method === 'GET' ? { kind: 'answer', status: 403, body: '<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the object\'s storage class</Message><StorageClass>DEEP_ARCHIVE</StorageClass></Error>' } : undefined))
  await expect(store.get('blocks/index')).rejects.toMatchObject({ code: 'STORE_REJECTED', message: expect.stringContaining('archive class'), hint: expect.stringContaining(`restore-object --bucket ${server.bucket}`) })
  await store.close()
  await proxy.close()
})
