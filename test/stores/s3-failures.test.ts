import { buffer } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createRetryingStore } from '../../src/stores/retrying-store.ts'
import { createS3Store } from '../../src/stores/s3-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { type ProxyFault, type S3FaultProxy, startS3FaultProxy } from '../fakes/s3-fault-proxy.ts'
import { collect, digestOf, keysOf, patternBody, readText, textBody } from '../support/bodies.ts'
import { createTestBucket, freePorts, type TestBucket } from '../support/s3-server.ts'

const partBytes = 5 * 1024 * 1024
const largeBytes = 17_000_000
const page = '<html><head><title>Sign in</title></head><body><form></form></body></html>'

let bucket: TestBucket
let proxy: S3FaultProxy
let stores: ObjectStore[]

/** A store behind the proxy. */
function open(changes: Partial<Parameters<typeof createS3Store>[0]> = {}): ObjectStore {
  const { openUploads: _, caFile: __, ...server } = bucket
  const store = createS3Store({ ...server, endpoint: proxy.endpoint, prefix: 'p/', partSizeBytes: partBytes, ...changes })
  stores.push(store)
  return store
}

beforeEach(async (context) => {
  stores = []
  bucket = await createTestBucket(context)
  proxy = await startS3FaultProxy(bucket.endpoint)
})
afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()))
  await proxy?.close()
})

const xml = (code: string, extra = '') => `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>said no</Message>${extra}</Error>`

describe('an endpoint that is no object store', () => {
  const answers: [string, ProxyFault][] = [
    ['a web page with status 200', { kind: 'answer', status: 200, body: page, contentType: 'text/html; charset=utf-8' }],
    ['a web page with status 403', { kind: 'answer', status: 403, body: page, contentType: 'text/html' }],
    ['plain text', { kind: 'answer', status: 200, body: 'hello', contentType: 'text/plain' }],
    ['other XML', { kind: 'answer', status: 200, body: '<?xml version="1.0"?><hello/>' }],
    ['nothing', { kind: 'answer', status: 200, body: '' }],
  ]
  test.for(answers)('that answers %s is STORE_BAD_RESPONSE to every verb, and never an empty listing or a finished write', async ([, fault]) => {
    const store = open()
    proxy.inject(() => fault)
    const bad = { code: 'STORE_BAD_RESPONSE', hint: expect.stringContaining('s3.endpoint') }
    await expect(collect(store.list(''))).rejects.toMatchObject(bad)
    await expect(collect(store.listFolders(''))).rejects.toMatchObject(bad)
    await expect(store.get('a')).rejects.toMatchObject(bad)
    await expect(store.head('a')).rejects.toMatchObject(bad)
    await expect(store.put('a', textBody('x'))).rejects.toMatchObject(bad)
    await expect(store.put('a', patternBody(largeBytes))).rejects.toMatchObject(bad)
    await expect(store.delete(['a'])).rejects.toMatchObject(bad)
    expect(proxy.injected).toBeGreaterThanOrEqual(6)
  })

  test('that has no such page, and says so in plain words, has no objects that are missing', async () => {
    const store = open()
    proxy.inject(() => ({ kind: 'answer', status: 404, body: '404 page not found\n', contentType: 'text/plain; charset=utf-8' }))
    const bad = { code: 'STORE_BAD_RESPONSE', message: expect.stringContaining('HTTP 404, with no error of S3 in it'), hint: expect.stringContaining('s3.endpoint') }
    await expect(store.get('a')).rejects.toMatchObject(bad)
    await expect(collect(store.list(''))).rejects.toMatchObject(bad)
    await expect(store.put('a', textBody('x'))).rejects.toMatchObject(bad)
  })
})

describe('what the server refuses is told with what to do', () => {
  test('a wrong access key', async () => {
    const store = open({ accessKeyId: 'NOSUCHKEY' })
    const denied = { code: 'STORE_DENIED', message: expect.stringContaining('InvalidAccessKeyId'), hint: expect.stringContaining('accessKeyId') }
    await expect(store.create('a', textBody('x'))).rejects.toMatchObject(denied)
    await expect(store.head('a')).rejects.toMatchObject(denied)
    await expect(keysOf(store)).rejects.toMatchObject(denied)
  })

  test('a wrong secret, which never appears in the error', async () => {
    const store = open({ secretAccessKey: 'not-the-secret' })
    const error = await store.get('a').catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'STORE_DENIED', message: expect.stringContaining('SignatureDoesNotMatch') })
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/not-the-secret|authorization|AWS4-HMAC/i)
  })

  test('a bucket that does not exist: nothing to read, and a write names it', async () => {
    const store = open({ bucket: 'no-such-bucket' })
    expect(await keysOf(store)).toEqual([])
    expect(await collect(store.listFolders(''))).toEqual([])
    await expect(store.get('a')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    expect(await store.head('a')).toBeUndefined()
    const missing = { code: 'STORE_REJECTED', message: expect.stringContaining('no-such-bucket'), hint: expect.stringContaining('create it') }
    await expect(store.create('a', textBody('x'))).rejects.toMatchObject(missing)
    await expect(store.put('a', patternBody(largeBytes))).rejects.toMatchObject(missing)
    await expect(store.capabilities('')).rejects.toMatchObject(missing)
  })

  const refusals: [string, number, string, object][] = [
    ['AccessDenied', 403, '', { code: 'STORE_DENIED', hint: expect.stringContaining('allow') }],
    ['RequestTimeTooSkewed', 403, '', { code: 'STORE_DENIED', message: expect.stringMatching(/clocks.*\d+ s apart/), hint: expect.stringContaining('chrony') }],
    ['PermanentRedirect', 301, '<Region>eu-west-3</Region>', { code: 'STORE_REJECTED', hint: expect.stringContaining('eu-west-3') }],
    ['AuthorizationHeaderMalformed', 400, '<Region>eu-west-3</Region>', { code: 'STORE_REJECTED', hint: expect.stringContaining('eu-west-3') }],
    ['ExpiredToken', 400, '', { code: 'STORE_DENIED', hint: expect.stringContaining('new') }],
    ['QuotaExceeded', 403, '', { code: 'DISK_FULL', hint: expect.stringContaining('quota') }],
    ['SlowDown', 503, '', { code: 'STORE_UNREACHABLE', hint: expect.stringContaining('concurrency') }],
    ['InternalError', 500, '', { code: 'STORE_UNREACHABLE' }],
    ['NotImplemented', 501, '', { code: 'STORE_REJECTED' }],
  ]
  test.for(refusals)('%s', async ([code, status, extra, expected]) => {
    const store = open()
    proxy.inject(() => ({ kind: 'answer', status, body: xml(code, extra) }))
    await expect(store.put('a', textBody('x'))).rejects.toMatchObject(expected)
    await expect(keysOf(store)).rejects.toMatchObject(expected)
    expect(proxy.injected).toBeGreaterThanOrEqual(2)
  })

  test.for([[403, 'text/plain', 'STORE_DENIED'], [503, 'text/html', 'STORE_UNREACHABLE']] as const)('a gateway that answers %d in words of its own', async ([status, contentType, code]) => {
    const store = open()
    proxy.inject(() => ({ kind: 'answer', status, body: '<p>go away', contentType }))
    for (const error of [await store.put('a', textBody('x')).catch((caught: unknown) => caught), await keysOf(store).catch((caught: unknown) => caught)]) {
      expect(error).toMatchObject({ code, message: expect.stringMatching(new RegExp(`HTTP ${status}, with no error of S3 in it\\)?$`)) })
    }
  })

  test('objects that could not be removed are counted and named', async () => {
    const store = open()
    proxy.inject(() => ({ kind: 'answer', status: 200, body: `<?xml version="1.0"?><DeleteResult><Deleted><Key>p/a</Key></Deleted><Error><Key>p/b</Key><Code>AccessDenied</Code><Message>locked</Message></Error></DeleteResult>` }))
    await expect(store.delete(['a', 'b'])).rejects.toMatchObject({ code: 'STORE_DENIED', message: expect.stringContaining('1 of 2 objects'), details: { keys: ['b'] } })
  })
})

describe('clocks', () => {
  test('now is the clock of the store', async () => {
    proxy.inject(() => ({ kind: 'shift-date', byMs: 3_600_000 }))
    const now = await open().now()
    expect(Math.abs(now.getTime() - Date.now() - 3_600_000)).toBeLessThan(60_000)
  })

  test('a host whose clock is an hour off stores and reads all the same, and can see the offset', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    try {
      const store = open()
      await store.create('a', textBody('content'))
      expect(await readText(store, 'a')).toBe('content')
      expect(Math.round((Date.now() - (await store.now()).getTime()) / 60_000)).toBe(60)
    } finally {
      vi.useRealTimers()
    }
  })

  test('a skew that stays is told in seconds, and is over when it is over', async () => {
    const store = open()
    // The dates of the answers mislead the client about the time, and with it what it signs.
    proxy.inject(() => ({ kind: 'shift-date', byMs: -3_600_000 }))
    await store.now()
    const skewed = { code: 'STORE_DENIED', message: expect.stringMatching(/3[56]\d\d s apart \(RequestTimeTooSkewed\)/), hint: expect.stringContaining('chrony') }
    await expect(store.put('a', textBody('x'))).rejects.toMatchObject(skewed)
    await expect(keysOf(store)).rejects.toMatchObject(skewed)
    proxy.inject(() => undefined)
    await store.put('a', textBody('x'))
  })
})

describe('a network that fails', () => {
  test('nothing that listens', async () => {
    const [port] = await freePorts(1)
    await expect(open({ endpoint: `http://127.0.0.1:${port}` }).get('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringContaining('ECONNREFUSED'), hint: expect.stringContaining('port') })
  })

  test('a name that does not exist', async () => {
    await expect(open({ endpoint: 'http://no-such-host.invalid' }).get('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/), hint: expect.stringContaining('DNS') })
  })

  test('a server that takes the request and never answers', async () => {
    const store = open({ timeoutMs: 300 })
    proxy.inject(() => ({ kind: 'hang' }))
    await expect(store.get('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', hint: expect.stringContaining('s3.endpoint') })
    expect(proxy.injected).toBe(3)
  })

  test.for(['cut-answer', 'stall-answer'] as const)('a body with a %s is an error, never short in silence', async (kind) => {
    const store = open({ timeoutMs: 500 })
    await store.create('large', patternBody(largeBytes))
    proxy.inject(() => ({ kind, afterBytes: 2_000_000 }))
    const { body } = await store.get('large')
    await expect(buffer(body)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringContaining('was cut') })
    expect(proxy.injected).toBe(1)
  })

  test('a reader that is slow to take the bytes is not taken for a silent server', async () => {
    const store = open({ timeoutMs: 400 })
    await store.create('large', patternBody(largeBytes))
    const { body } = await store.get('large')
    let seenBytes = 0
    for await (const chunk of body) {
      if (seenBytes === 0) await new Promise((resolve) => setTimeout(resolve, 1200))
      seenBytes += (chunk as Buffer).byteLength
    }
    expect(seenBytes).toBe(largeBytes)
  })

  test('TLS: an unknown authority is refused with the setting to make, a known one works', async () => {
    const unknown = open({ endpoint: bucket.tlsEndpoint })
    await expect(unknown.put('a', textBody('x'))).rejects.toMatchObject({ code: 'STORE_REJECTED', hint: expect.stringContaining('caFile') })
    const { caFile } = bucket
    const known = open({ endpoint: bucket.tlsEndpoint, caFile })
    await known.put('a', patternBody(largeBytes))
    expect(await digestOf((await known.get('a')).body)).toBe(await digestOf(patternBody(largeBytes).open()))
    expect(() => open({ caFile: '/nonexistent/ca.pem' })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  test('plain HTTP spoken to a TLS port, and TLS to a plain one', async () => {
    await expect(open({ endpoint: bucket.endpoint.replace('http:', 'https:') }).get('a')).rejects.toMatchObject({ name: 'PromDrError', hint: expect.any(String) })
    await expect(open({ endpoint: bucket.tlsEndpoint.replace('https:', 'http:') }).get('a')).rejects.toMatchObject({ name: 'PromDrError', hint: expect.any(String) })
  })
})

describe('nothing is half-committed', () => {
  test('a part that cannot be sent aborts the upload', async () => {
    const store = open()
    proxy.inject(({ path }) => (path.includes('partNumber=3') ? { kind: 'close' } : undefined))
    await expect(store.create('large', patternBody(largeBytes))).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringContaining('part 3') })
    expect(proxy.injected).toBe(3)
    expect(await bucket.openUploads()).toEqual([])
    expect(await keysOf(store)).toEqual([])
  })

  test('the signal aborts the upload', async () => {
    const store = open()
    const controller = new AbortController()
    proxy.inject(({ path }) => {
      if (!path.includes('partNumber=2')) return undefined
      controller.abort()
      return { kind: 'hang' }
    })
    await expect(store.put('large', patternBody(largeBytes), { signal: controller.signal })).rejects.toMatchObject({ code: 'INTERRUPTED' })
    expect(proxy.injected).toBeGreaterThan(0)
    expect(await bucket.openUploads()).toEqual([])
    expect(await keysOf(store)).toEqual([])
  })

  test('a completion whose answer is lost is recognised as done', async () => {
    const store = open()
    let lost = 0
    proxy.inject(({ method, path }) => (method === 'POST' && path.includes('uploadId=') && lost++ === 0 ? { kind: 'lose-answer' } : undefined))
    const written = await store.put('large', patternBody(largeBytes))
    expect(proxy.injected).toBe(1)
    expect(await digestOf((await store.get('large')).body)).toBe(written.sha256)
    expect(await bucket.openUploads()).toEqual([])
  })

  test('a create whose answer is lost ends as success', async () => {
    const store = open()
    await store.capabilities('')
    let lost = 0
    proxy.inject(({ method }) => (method === 'PUT' && lost++ === 0 ? { kind: 'lose-answer' } : undefined))
    const written = await store.create('small', textBody('content'))
    expect(proxy.injected).toBe(1)
    expect(written).toMatchObject({ sizeBytes: 7, created: false })
    expect(await readText(store, 'small')).toBe('content')
  })
})

describe('outages are waited out by the retrying store', () => {
  function retrying(options: Parameters<typeof open>[0] = {}): { store: ObjectStore; clock: ReturnType<typeof createManualClock> } {
    const clock = createManualClock()
    return { store: createRetryingStore(open(options), { clock, logger: silentLogger, random: () => 1 }), clock }
  }

  test('503 for a while, then a recovery', async () => {
    const { store, clock } = retrying()
    await store.capabilities('')
    proxy.inject((_request, count) => (count <= 10 ? { kind: 'answer', status: 503, body: xml('SlowDown') } : undefined))
    await store.create('a', textBody('content'))
    expect(proxy.injected).toBe(10)
    expect(clock.sleeps).toEqual([250, 500, 1000])
    expect(await readText(store, 'a')).toBe('content')
  })

  test('a body that is cut goes on where it was cut', async () => {
    const { store } = retrying()
    const { sha256 } = await store.create('large', patternBody(largeBytes))
    let cuts = 0
    proxy.inject(() => (cuts++ < 3 ? { kind: 'cut-answer', afterBytes: 3_000_000 } : undefined))
    expect(await digestOf((await store.get('large')).body)).toBe(sha256)
    expect(proxy.injected).toBe(3)
    cuts = 0
    const { body } = await store.get('large', { range: { start: 1_000_000, end: 9_000_000 } })
    expect((await buffer(body)).byteLength).toBe(8_000_000)
    expect(proxy.injected).toBe(6)
  })

  test('an upload that failed starts again and its progress is taken back', async () => {
    const { store } = retrying()
    let failures = 0
    proxy.inject(({ method, path }) => (method === 'POST' && path.includes('uploadId=') && failures++ < 3 ? { kind: 'answer', status: 503, body: xml('SlowDown') } : undefined))
    const progress: number[] = []
    await store.put('large', patternBody(largeBytes), { onProgress: (bytes) => progress.push(bytes) })
    expect(proxy.injected).toBe(3)
    expect(progress).toContain(0)
    expect(progress.at(-1)).toBe(largeBytes)
    expect(await bucket.openUploads()).toEqual([])
  })
})
