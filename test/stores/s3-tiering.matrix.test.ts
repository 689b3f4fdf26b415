/** The S3 tests again, on the gateway of Debian sid. */
process.env['PROM_DR_TEST_RGW'] ??= '20'
await import('./s3-tiering.test.ts')
