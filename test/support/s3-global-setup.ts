import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { s3ServerScript } from './s3-server.ts'

/**
 * Gives the run a directory for its S3 server. The first test that needs one starts it there (`s3-server.ts`); it is
 * stopped when the run ends, and a watcher stops it when the run is killed.
 */
export default function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'prom-dr-s3-'))
  process.env['PROM_DR_TEST_S3_DIRECTORY'] = directory
  process.env['PROM_DR_TEST_S3_OWNER'] = String(process.pid)
  const stop = () => {
    if (!existsSync(directory)) return
    spawnSync(s3ServerScript, ['stop', directory], { stdio: 'inherit' })
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', stop)
  return stop
}
