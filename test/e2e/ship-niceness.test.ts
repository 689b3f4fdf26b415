import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { launcher, start } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { waitFor } from '../support/prometheus.ts'
import { SimulatedWal } from '../support/simulated-wal.ts'

/** Niceness of a process, as the kernel has it (proc(5), the 19th field of stat). */
async function nicenessOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
}

it.each([
  { setting: {}, niceness: 10 },
  { setting: { PROM_DR_SHIP_NICENESS: '17' }, niceness: 17 },
])('shipping steps back behind everything else on the host: niceness $niceness', async ({ setting, niceness }) => {
  const cwd = await temporaryDirectory('niceness')
  await SimulatedWal.create(join(cwd, 'data'))
  const shipping = start([process.execPath, launcher, 'ship', '--quiet'], {
    cwd, env: { ...setting, PROM_DR_PROMETHEUS_URL: 'http://127.0.0.1:1', PROM_DR_PROMETHEUS_DATA_DIR: join(cwd, 'data'), PROM_DR_REPOSITORY_URL: join(cwd, 'repo') },
  })
  await waitFor(async () => (await nicenessOf(shipping.pid)) >= niceness, { what: `niceness ${niceness}` })
  expect(await nicenessOf(shipping.pid)).toBe(niceness)
  shipping.kill('SIGTERM')
  expect((await shipping.ended).code).toBe(0)
})
