/** The S3 tests again, on the gateway of Debian sid. */
process.env['PROM_DR_TEST_RGW'] ??= '20'
await import('./s3-store.test.ts')
await import('./s3-failures.test.ts')
