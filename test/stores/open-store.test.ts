import { describe, expect, test } from 'vitest'
import { openObjectStore, parseStoreUrl } from '../../src/stores/open-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'

const options = { clock: systemClock, logger: silentLogger }

describe('the url of an object store', () => {
  test('names a directory', async () => {
    expect(parseStoreUrl('file:///var/backups/a%20b')).toEqual({ scheme: 'file', root: '/var/backups/a b' })
    expect((await openObjectStore({ url: 'file:///var/backups/x' }, options)).url).toBe('file:///var/backups/x')
  })

  test.for([
    ['s3://bucket', '', 's3://bucket'],
    ['s3://bucket/', '', 's3://bucket'],
    ['s3://bucket/eu', 'eu/', 's3://bucket/eu'],
    ['s3://bucket/eu/prod/', 'eu/prod/', 's3://bucket/eu/prod'],
  ] as const)('%s names a bucket and a prefix', async ([url, prefix, shown]) => {
    expect(parseStoreUrl(url)).toEqual({ scheme: 's3', bucket: 'bucket', prefix })
    const store = await openObjectStore({ url }, options)
    expect(store.url).toBe(shown)
    await store.close()
  })

  test.for(['', 'bucket/prefix', '/var/backups', 'file://relative/dir', 'file:relative', 'file:///', 'file:///a?b', 's3://', 's3:///prefix', 's3://b', 's3://bucket/../other', 's3://bucket/a//b', 's3://bucket/a?versionId=1', 'gs://bucket', 'http://host/bucket'])(
    '%j is refused with what to write instead',
    async (url) => {
      await expect(openObjectStore({ url }, options)).rejects.toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', hint: expect.any(String) }))
    },
  )

  test('credentials in it are refused and not repeated', () => {
    const error = (() => {
      try {
        return parseStoreUrl('s3://KEY:hunter2@bucket/prefix')
      } catch (caught) {
        return caught as Error
      }
    })()
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('hunter2')
  })

  test.for([{ endpoint: 'localhost:9000' }, { endpoint: 'http://a:b@host' }, { endpoint: 'ftp://host' }, { accessKeyId: 'only' }, { secretAccessKey: 'only' }, { sessionToken: 'only' }, { partSizeBytes: 1024 }, { concurrency: 0 }, { timeoutMs: -1 }])(
    'the S3 settings %j are refused',
    async (s3) => {
      await expect(openObjectStore({ url: 's3://bucket', s3 }, options)).rejects.toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', hint: expect.any(String) }))
    },
  )
})
