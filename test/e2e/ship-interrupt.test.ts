import { readdir, stat } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readGenerations, readHeartbeat } from '../../src/repository/wal-stream.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { launcher, start } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { missingPrograms, startTestPrometheus, waitFor, waitForSamples } from '../support/prometheus.ts'

/** Longer than the tests: after the first pass only an interrupt makes it look again. */
const interval = { PROM_DR_SHIP_INTERVAL: '1h' }

describe.skipIf(missingPrograms('prometheus'))('a planned shutdown of the host', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('loses nothing: after %s ship has sent all that the server logged before it ended', async (signal) => {
    const server = await startTestPrometheus({ scrapeInterval: '200ms' })
    const cwd = await temporaryDirectory('shutdown')
    const store = createFileStore({ root: join(cwd, 'repo') })
    const shipping = start([process.execPath, launcher, 'ship', '--json'], { cwd, env: { ...interval, PROM_DR_PROMETHEUS_URL: server.url, PROM_DR_INSTANCE: 'prom-a', PROM_DR_REPOSITORY_URL: `file://${cwd}/repo` } })
    await waitFor(async () => {
      const [generation] = await readGenerations(store, 'prom-a')
      return generation !== undefined && (await readHeartbeat(store, 'prom-a', { generation: generation.id })) !== undefined
    }, { what: 'the first pass' })
    await waitForSamples(server, 'up', 8)
    await server.stop()
    shipping.kill(signal)
    const { code, stdout, stderr } = await shipping.ended
    expect(code, stderr).toBe(0)
    const wal = join(server.dataDir, 'wal')
    const last = (await readdir(wal)).filter((name) => /^\d{8}$/.test(name)).sort().at(-1) as string
    expect(JSON.parse(stdout)).toMatchObject({ shippedTo: `${last}:${(await stat(join(wal, last))).size}`, repositories: [{ ok: true, gaps: [] }] })
  })
})

describe('a second signal', () => {
  /** Ships to a store that never answers. */
  async function startHanging() {
    const silent = createServer((socket) => void socket.on('error', () => undefined))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void silent.close())
    const asked = new Promise((resolve) => silent.once('connection', resolve))
    const cwd = await temporaryDirectory('second-signal')
    const { port } = silent.address() as AddressInfo
    const shipping = start([process.execPath, launcher, 'ship', '--json'], {
      cwd,
      env: { ...interval, PROM_DR_PROMETHEUS_DATA_DIR: cwd, PROM_DR_REPOSITORY_URL: 's3://bucket/dr', PROM_DR_S3_ENDPOINT: `http://127.0.0.1:${port}`, PROM_DR_S3_REGION: 'x', PROM_DR_S3_ACCESS_KEY_ID: 'a', PROM_DR_S3_SECRET_ACCESS_KEY: 'b' },
    })
    await asked
    return shipping
  }

  it('that comes with the first, as timeout(1) sends it, is the same decision', async () => {
    const shipping = await startHanging()
    const sinceMs = performance.now()
    while (performance.now() - sinceMs < 100) shipping.kill('SIGTERM')
    expect(await shipping.ended).toMatchObject({ code: 130, signal: null })
  })

  it('ends it at once, whatever it waits for', async () => {
    const shipping = await startHanging()
    let over = false
    const ended = shipping.ended.finally(() => (over = true))
    shipping.kill('SIGTERM')
    // Two that arrive together count as one.
    await waitFor(() => {
      if (!over) shipping.kill('SIGTERM')
      return over
    }, { intervalMs: 200, what: 'the end' })
    expect(await ended).toMatchObject({ code: null, signal: 'SIGTERM' })
  })
})
