import { createS3Store } from '../../src/stores/s3-store.ts'
import { objectStoreContract } from '../contracts/object-store-contract.ts'
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
