import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import { connectS3 } from '../../src/stores/s3-client.ts'
import { abortStaleUploads } from '../../src/stores/s3-stale-uploads.ts'
import { createTestBucket } from '../support/s3-server.ts'

test('uploads that a killed process left are aborted when they are old enough, and only below the prefix', async (context) => {
  const { openUploads, ...server } = await createTestBucket(context)
  const connection = connectS3({ ...server, prefix: 'ours/' })
  const begin = async (key: string) => (await connection.client.send(new CreateMultipartUploadCommand({ Bucket: server.bucket, Key: key }))).UploadId
  await begin('ours/blocks/a')
  await begin('ours/blocks/b')
  const foreign = await begin('theirs/c')
  expect(await abortStaleUploads(connection)).toEqual([])
  expect((await openUploads()).length).toBe(3)
  const aborted = await abortStaleUploads(connection, { olderThanMs: -60_000 })
  expect(aborted.map(({ key }) => key)).toEqual(['blocks/a', 'blocks/b'])
  expect(await openUploads()).toEqual([foreign])
  connection.client.destroy()
})
