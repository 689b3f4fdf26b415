import { chown, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { startPrometheus } from '../../../src/integrations/prometheus/prometheus-server.ts'
import { preservingFlags, startThrowawayServer } from '../../../src/integrations/prometheus/throwaway-server.ts'
import { binaryVersion } from '../../../src/integrations/prometheus/prometheus-version.ts'
import { atEndOfFile, temporaryDirectory } from '../../support/cleanup.ts'
import { missingPrograms, prometheusBinary, remoteWrite, startTestPrometheus, waitFor, waitForSamples } from '../../support/prometheus.ts'

const emptyConfig = { text: 'global: {}\n' }

describe.skipIf(missingPrograms('prometheus'))('a Prometheus of our own', () => {
  it('answers queries when it is there, and its data stays after SIGKILL', async () => {
    const prometheus = await startTestPrometheus()
    await waitForSamples(prometheus, 'up', 2)
    await prometheus.kill()
    expect(prometheus.isRunning).toBe(false)
    expect(await readdir(prometheus.dataDir)).toContain('wal')
    const again = await startTestPrometheus({ dataDir: prometheus.dataDir, scrapeItself: false })
    await waitForSamples(again, 'up', 2)
    await again.stop()
    await again.stop()
    expect(again.logTail()).toContain('See you next time')
  })

  it('says what the server said when it ends before it is ready', async () => {
    const directory = await temporaryDirectory()
    const start = startPrometheus({ binary: prometheusBinary(), dataDir: join(directory, 'data'), config: { text: 'nonsense: true\n' }, logFile: join(directory, 'log') })
    await expect(start).rejects.toMatchObject({ code: 'PROGRAM_FAILED', message: expect.stringContaining('field nonsense not found') })
  })

  it('names the port when the one it was told to take is taken', async () => {
    const directory = await temporaryDirectory()
    const other = createServer((_request, response) => response.end('I am ready'))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    atEndOfFile(async () => void other.close())
    const listen = `127.0.0.1:${(other.address() as AddressInfo).port}`
    const start = startPrometheus({ binary: prometheusBinary(), dataDir: join(directory, 'data'), config: emptyConfig, listen, logFile: join(directory, 'log') })
    await expect(start).rejects.toMatchObject({ code: 'PROGRAM_FAILED', hint: `the port of http://${listen} is taken by another program` })
  })

  it('does not take the answer of another Prometheus on the port for its own', async () => {
    const other = await startTestPrometheus()
    const directory = await temporaryDirectory()
    const listen = new URL(other.url).host
    const start = startPrometheus({ binary: prometheusBinary(), dataDir: join(directory, 'data'), config: emptyConfig, listen, logFile: join(directory, 'log') })
    await expect(start).rejects.toMatchObject({ code: 'PROGRAM_FAILED' })
    expect(await other.api.isReady()).toBe(true)
  })

  it('ends with the signal, leaving no process and no configuration behind', async () => {
    const directory = await temporaryDirectory()
    const abort = new AbortController()
    const logFile = join(directory, 'log')
    const start = startPrometheus({ binary: prometheusBinary(), dataDir: join(directory, 'data'), config: emptyConfig, logFile, signal: abort.signal })
    await waitFor(() => stat(logFile).then(() => true), { what: 'the start', intervalMs: 1 })
    abort.abort()
    await expect(start).rejects.toMatchObject({ code: 'INTERRUPTED' })
    await waitFor(async () => (await commandLines()).every((line) => !line.includes(directory)), { what: 'the end of the server' })
  })

  it('says where its configuration cannot be written', async () => {
    const directory = await temporaryDirectory()
    vi.stubEnv('TMPDIR', join(directory, 'missing'))
    const start = startPrometheus({ binary: prometheusBinary(), dataDir: directory, config: emptyConfig, logFile: join(directory, 'log') }).finally(() => vi.unstubAllEnvs())
    await expect(start).rejects.toMatchObject({ code: 'FILE_SYSTEM', message: expect.stringContaining(join(directory, 'missing')), hint: expect.stringContaining('TMPDIR') })
  })

  it('names the package of a binary that is not there', async () => {
    const directory = await temporaryDirectory()
    const start = startPrometheus({ binary: '/nowhere/prometheus', dataDir: directory, config: emptyConfig, logFile: join(directory, 'log') })
    await expect(start).rejects.toMatchObject({ code: 'PROGRAM_MISSING', hint: 'install it: apt-get install prometheus' })
  })
})

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a throwaway server', () => {
  it('deletes and merges nothing of data that is days old', async () => {
    const source = await startTestPrometheus({ retention: '1y', scrapeItself: false, config: { storage: { tsdb: { out_of_order_time_window: '0s' } } } })
    await fillBlocks(source.url, Date.now() - 3 * 86_400_000, 9)
    const name = await source.api.takeSnapshot({ skipHead: false })
    await source.stop()
    const dataDir = join(source.dataDir, 'snapshots', name)
    const before = await blocksOf(dataDir)
    expect(before.length).toBeGreaterThan(2)
    const server = await startThrowawayServer(dataDir, { binary: prometheusBinary(), logFile: join(source.directory, 'throwaway.log'), externalLabels: { replica: 'a' } })
    atEndOfFile(() => server.kill())
    expect(await server.api.retention()).toEqual({ timeMs: 100 * 365 * 86_400_000 })
    expect((await server.api.config()).externalLabels).toEqual({ replica: 'a' })
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:/)
    const matchers = [{ type: '=' as const, name: '__name__', value: 'filled' }]
    const [series] = await server.api.remoteRead({ matchers, startMs: Date.now() - 4 * 86_400_000, endMs: Date.now() })
    expect(series?.labels).toEqual({ __name__: 'filled', replica: 'a' })
    expect(series?.samples).toHaveLength(9 * 120)
    await server.stop()
    expect(await blocksOf(dataDir)).toEqual(before)
  })

  it.skipIf(process.getuid?.() !== 0)('runs as the owner of the data when we are root', async () => {
    const directory = await temporaryDirectory()
    const dataDir = join(directory, 'data')
    await mkdir(dataDir)
    await Promise.all([directory, dataDir].map((path) => chown(path, 65_534, 65_534)))
    const server = await startThrowawayServer(dataDir, { binary: prometheusBinary(), logFile: join(directory, 'log') })
    atEndOfFile(() => server.kill())
    expect(await readFile(`/proc/${server.pid}/status`, 'utf8')).toMatch(/^Uid:\s+65534\s+65534/m)
    expect((await stat(join(dataDir, 'queries.active'))).uid).toBe(65_534)
  })

  it('refuses a data directory that is not there', async () => {
    await expect(startThrowawayServer('/nowhere/at/all', { logFile: '/dev/null' })).rejects.toMatchObject({ code: 'DATA_DIR_UNREADABLE' })
  })

  it('knows the version of its binary and the flags of that version', async () => {
    const version = await binaryVersion(prometheusBinary())
    expect(version.major).toBeGreaterThanOrEqual(2)
    expect(preservingFlags({ major: 2, minor: 42, patch: 0 })).toHaveLength(3)
    expect(preservingFlags({ major: 3, minor: 5, patch: 0 })).toContain('--no-storage.tsdb.allow-overlapping-compaction')
    await expect(binaryVersion('/bin/echo')).rejects.toMatchObject({ code: 'PROGRAM_FAILED' })
  })
})

/** Two-hour blocks from `startMs` on, a sample a minute. */
async function fillBlocks(url: string, startMs: number, blocks: number): Promise<void> {
  const alignedMs = Math.ceil(startMs / 7_200_000) * 7_200_000
  for (let block = 0; block < blocks; block += 1) {
    const samples = Array.from({ length: 120 }, (_, minute) => ({ timestampMs: alignedMs + block * 7_200_000 + minute * 60_000, value: minute }))
    await remoteWrite(url, [{ labels: { __name__: 'filled' }, samples }])
  }
}

async function blocksOf(dataDir: string): Promise<string[]> {
  return (await readdir(dataDir)).filter((name) => /^[0-9A-Z]{26}$/.test(name)).sort()
}

async function commandLines(): Promise<string[]> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  return Promise.all(processes.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
}
