import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { freePorts, s3ServerScript } from '../test/support/s3-server.ts'
import { type BucketDestination, destinationEnv } from './destination.ts'
import { run } from './measure.ts'

export interface BenchS3 {
  destination: BucketDestination
  version: string
  stop(): Promise<void>
}

const deviceBytes = 24 * 2 ** 30

/** A Ceph RGW whose objects are on disk (BlueStore), in `folder`, which is emptied first and removed by `stop`. */
export async function startBenchS3(folder: string): Promise<BenchS3> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const [port, tlsPort, monitorPort] = await freePorts(3)
  const keys = { accessKeyId: 'BENCHACCESSKEY0001', secretAccessKey: randomUUID().replaceAll('-', '') }
  const stop = async () => {
    await run([s3ServerScript, 'stop', folder])
    await rm(folder, { recursive: true, force: true })
  }
  // Stops the daemons when this process is killed.
  spawn(s3ServerScript, ['watch', folder, String(process.pid)], { detached: true, stdio: 'ignore' }).unref()
  const destination: BucketDestination = { kind: 's3', endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', bucket: 'bench', prefix: 'data', ...keys }
  try {
    await promisify(execFile)(s3ServerScript, ['start', folder, `${port}`, `${tlsPort}`, `${monitorPort}`], {
      env: {
        ...process.env,
        PROM_DR_TEST_S3_ACCESS_KEY: keys.accessKeyId,
        PROM_DR_TEST_S3_SECRET_KEY: keys.secretAccessKey,
        PROM_DR_TEST_S3_STORE: 'bluestore',
        PROM_DR_TEST_S3_BYTES: String(deviceBytes),
      },
    })
    await run(['rclone', 'mkdir', 'bench:bench'], { env: destinationEnv(destination) })
  } catch (error) {
    await stop()
    throw error
  }
  const version = /\d+\.\d+\.\d+/.exec(await run(['radosgw', '--version']))?.[0] ?? 'unknown'
  return { destination, version, stop }
}
