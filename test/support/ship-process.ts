import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../src/errors.ts'
import { type Ended, type Running, launcher, start } from '../cli/launcher.ts'
import { temporaryDirectory } from './cleanup.ts'
import type { TestPrometheus } from './prometheus.ts'

/** A repository as the configuration file names it. */
export interface ConfiguredRepository {
  url: string
  s3?: Record<string, unknown>
}

/** `prom-dr ship` as its user runs it. */
export interface ShipProcess {
  /** SIGKILL. Resolves when it has ended; it may have ended before. */
  kill(): Promise<Ended>
  /** SIGKILL, and another one at once. */
  replace(): Promise<void>
}

/** Starts `prom-dr ship` every two seconds; killed when the test is over. */
export async function startShipProcess(server: Pick<TestPrometheus, 'url' | 'dataDir'>, repository: ConfiguredRepository): Promise<ShipProcess> {
  const cwd = await temporaryDirectory('shipper')
  const config = { instance: 'prom-a', prometheus: { url: server.url, dataDir: server.dataDir }, repositories: [{ name: 'primary', ...repository }], ship: { interval: '2s' } }
  await writeFile(join(cwd, 'prom-dr.yml'), JSON.stringify(config))
  const run = () => start([process.execPath, launcher, 'ship', '--json'], { cwd })
  let running = run()
  const kill = async () => {
    signalIfThere(running)
    return running.ended
  }
  return {
    kill,
    async replace() {
      await kill()
      running = run()
    },
  }
}

function signalIfThere(running: Running): void {
  try {
    running.kill('SIGKILL')
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}
