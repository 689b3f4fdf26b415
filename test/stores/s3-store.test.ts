import { describe, expect, test } from 'vitest'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { objectStoreContract } from '../contracts/object-store-contract.ts'
import { startS3FaultProxy } from '../fakes/s3-fault-proxy.ts'
import { digestOf, patternBody } from '../support/bodies.ts'
import { createTestBucket } from '../support/s3-server.ts'

const mebibyte = 1024 * 1024

objectStoreContract('the S3 store', { largeBytes: 17_000_000, url: /^s3:\/\/test-[^/]+\/some\/prefix$/ }, async (context) => {
  const { openUploads, ...server } = await createTestBucket(context)
  const options = { ...server, prefix: 'some/prefix/', partSizeBytes: 5 * mebibyte }
  const store = createS3Store(options)
  const other = createS3Store(options)
  return {
    store,
    other,
    async dispose() {
      const uploads = await openUploads()
      await Promise.all([store.close(), other.close()])
      if (uploads.length > 0) throw new Error(`${uploads.length} uploads were left open`)
    },
  }
})

objectStoreContract('the S3 store on a server without conditional writes', { largeBytes: 6_000_000, url: /^s3:\/\/test-[^/]+$/ }, async (context) => {
  const { openUploads: _, ...server } = await createTestBucket(context)
  const proxy = await startS3FaultProxy(server.endpoint)
  proxy.inject(({ headers }) => (headers['if-none-match'] === undefined ? undefined : { kind: 'answer', status: 501, body: '<Error><Code>NotImplemented</Code></Error>' }))
  const options = { ...server, endpoint: proxy.endpoint, prefix: '', partSizeBytes: 5 * mebibyte }
  const store = createS3Store(options)
  const other = createS3Store(options)
  return {
    store,
    other,
    async dispose() {
      await Promise.all([store.close(), other.close()])
      await proxy.close()
    },
  }
})

describe('the S3 store', () => {
  test('says what this server does not guarantee', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const store = createS3Store({ ...server, prefix: '' })
    const { conditionalCreate, verifiedUploads, caveats } = await store.capabilities('')
    await store.close()
    expect({ conditionalCreate, verifiedUploads }).toEqual({ conditionalCreate: true, verifiedUploads: true })
    // The gateway of Debian 12 ignores If-None-Match when an upload in parts is completed; version 20 honours it.
    expect(caveats).toEqual(process.env['PROM_DR_TEST_RGW'] === '20' ? [] : [expect.stringContaining('ignores If-None-Match when a large object is completed')])
  })

  test('sends Content-MD5 with every body to a server that does not check the signed digest, and only to that', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const proxy = await startS3FaultProxy(server.endpoint)
    const withMd5 = () => proxy.requests.filter(({ method, path, headers }) => method === 'PUT' && path.includes('/object') && headers['content-md5'] !== undefined).length
    const options = { ...server, endpoint: proxy.endpoint, prefix: '', partSizeBytes: 5 * mebibyte }
    const checked = createS3Store(options)
    await checked.put('object-1', patternBody(6_000_000))
    await checked.put('object-1', patternBody(600))
    expect(withMd5()).toBe(0)
    proxy.inject(({ method, path, headers }) => (method === 'PUT' && path.includes('probe') && headers['content-md5'] === undefined ? { kind: 'answer', status: 200, body: '', etag: '"x"' } : undefined))
    const unchecked = createS3Store(options)
    await unchecked.put('object-2', patternBody(6_000_000))
    await unchecked.put('object-2', patternBody(600))
    expect(proxy.injected).toBe(1)
    expect(withMd5()).toBe(3)
    await Promise.all([checked.close(), unchecked.close()])
    await proxy.close()
  })

  test('stores a large object with one upload at a time', async (context) => {
    const { openUploads, ...server } = await createTestBucket(context)
    const store = createS3Store({ ...server, prefix: '', partSizeBytes: 5 * mebibyte, concurrency: 1 })
    const body = patternBody(17_000_000)
    const { sha256 } = await store.create('object', body)
    expect(sha256).toBe(await digestOf(body.open()))
    expect(await digestOf((await store.get('object')).body)).toBe(sha256)
    expect(await openUploads()).toEqual([])
    await store.close()
  })

  test('the advice of the SDK on Node versions stays off the screen', async () => {
    const warnings: string[] = []
    const listen = (warning: Error) => warnings.push(warning.message)
    process.on('warning', listen)
    const store = createS3Store({ bucket: 'bucket', prefix: '', endpoint: 'http://127.0.0.1:1', accessKeyId: 'a', secretAccessKey: 'b' })
    await expect(store.get('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
    process.off('warning', listen)
    expect(warnings).toEqual([])
  })
})
