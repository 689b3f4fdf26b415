import { execFile } from 'node:child_process'
import { chmod, mkdir, readFile, readdir, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { readGenerations, readHeartbeat } from '../../src/repository/wal-stream.ts'
import { launcher, promDr, start } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { damageWhatIsLogged } from '../support/damaged-log.ts'
import { missingPrograms, promtoolBinary, startNodeExporter, startTestPrometheus, waitFor } from '../support/prometheus.ts'
import { startWrittenServer } from '../support/written-server.ts'

const missing = missingPrograms('prometheus', 'promtool', 'prometheus-node-exporter')

/** `prom-dr ship` beside a real server, and a node_exporter that serves what it writes. */
async function scene() {
  const written = await startWrittenServer()
  const cwd = await temporaryDirectory('ship-metrics')
  const folder = join(cwd, 'textfile')
  await mkdir(folder)
  // node_exporter gives up root where it can.
  for (const directory of [cwd, folder]) await chmod(directory, 0o755)
  const path = join(folder, 'prom_dr_ship.prom')
  const exporter = await startNodeExporter([`--collector.textfile.directory=${folder}`, '--collector.disable-defaults', '--collector.textfile'])
  const configure = (settings: Record<string, unknown>) => writeFile(join(cwd, 'prom-dr.yml'), JSON.stringify({
    instance: 'prom-a', prometheus: { url: written.server.url, dataDir: written.server.dataDir }, repositories: [{ name: 'primary', url: `file://${written.root}` }],
    ship: { interval: '1s', metricsFile: path, backupAfterGap: false, ...settings },
  }))
  await configure({})
  /** The value of the one sample that begins so, as node_exporter serves it; undefined where there is none. */
  const served = async (sample: string): Promise<number | undefined> => {
    const text = await (await fetch(`http://${exporter.target}/metrics`)).text()
    const lines = text.split('\n').filter((line) => line.startsWith(sample))
    expect(lines.length, lines.join('\n')).toBeLessThanOrEqual(1)
    return lines[0] === undefined ? undefined : Number(lines[0].split(' ').at(-1))
  }
  const until = (sample: string, holds: (value: number) => boolean) => waitFor(async () => {
    const value = await served(sample)
    return value !== undefined && holds(value) ? { value } : undefined
  }, { what: sample })
  return {
    ...written, cwd, folder, path, configure, served, until,
    once: () => promDr(['ship', '--once', '--json'], { cwd }),
    shipping: () => start([process.execPath, launcher, 'ship', '--json'], { cwd }),
  }
}

async function complaints(path: string): Promise<string> {
  const running = promisify(execFile)(promtoolBinary(), ['check', 'metrics'])
  running.child.stdin?.end(await readFile(path))
  const { stdout, stderr } = await running
  return stdout + stderr
}

describe.skipIf(missing)('the metrics file of ship', () => {
  it('is served by node_exporter while the log is shipped, and to the last', async () => {
    const { path, folder, write, served, until, shipping } = await scene()
    await write(5)
    const process = shipping()
    await until('prom_dr_ship_last_pass_success{repository="primary",server="prom-a"}', (value) => value === 1)
    expect(await served('node_textfile_scrape_error')).toBe(0)
    expect(await complaints(path)).toBe('')
    expect((await stat(path)).mode & 0o777).toBe(0o644)
    const newest = await served('prom_dr_ship_newest_sample_timestamp_seconds{') ?? 0
    const parts = await served('prom_dr_ship_shipped_parts_total{') ?? 0
    expect(parts).toBeGreaterThan(0)
    expect(await served('prom_dr_ship_gaps_total{')).toBe(0)
    expect(await served('prom_dr_ship_failures_total{code="STORE_UNREACHABLE",repository="primary"')).toBe(0)
    expect(await served('prom_dr_ship_log_corruptions_total{log="wal"')).toBe(0)
    // The sample's time comes from the test: three seconds later than what was newest.
    await write(3)
    await until('prom_dr_ship_newest_sample_timestamp_seconds{', (value) => Math.abs(value - newest - 3) < 0.01)
    await write(2)
    process.kill('SIGTERM')
    const { code, stdout, stderr } = await process.ended
    expect(code, stderr).toBe(0)
    const { newestSample, parts: allParts, bytes } = JSON.parse(stdout)
    expect(await served('prom_dr_ship_newest_sample_timestamp_seconds{')).toBeCloseTo(Date.parse(newestSample) / 1000, 3)
    expect(await served('prom_dr_ship_shipped_parts_total{')).toBe(allParts)
    expect(await served('prom_dr_ship_shipped_bytes_total{')).toBe(bytes)
    expect(await served('prom_dr_ship_last_success_timestamp_seconds{')).toBeGreaterThan(await served('prom_dr_ship_start_time_seconds{') ?? Infinity)
    expect(await readdir(folder)).toEqual(['prom_dr_ship.prom'])
  })

  it('has the corruption of the server\'s own log with segment and offset, also after shipping goes on', async () => {
    const { server, path, write, once, served, until, shipping } = await scene()
    await write(5)
    expect((await once()).code).toBe(0)
    const size = await damageWhatIsLogged(server.dataDir, () => write(5))
    expect((await once()).code).toBe(5)
    expect(await served('prom_dr_ship_log_damaged{')).toBe(1)
    const process = shipping()
    await until('prom_dr_ship_passes_total{', (value) => value > 1)
    expect(await served('prom_dr_ship_log_corruptions_total{log="wal"')).toBe(1)
    expect(await served('prom_dr_ship_log_corruptions_total{log="wbl"')).toBe(0)
    expect(await served('prom_dr_ship_log_corruption_segment{log="wal"')).toBe(0)
    expect(await served('prom_dr_ship_log_corruption_offset_bytes{log="wal"')).toBe(size)
    expect(await complaints(path)).toBe('')

    const before = await served('prom_dr_ship_newest_sample_timestamp_seconds{') ?? Infinity
    // It repairs its log when it starts, and scrapes itself.
    await server.kill()
    await startTestPrometheus({ dataDir: server.dataDir })
    await until('prom_dr_ship_newest_sample_timestamp_seconds{', (value) => value > before)
    await until('prom_dr_ship_log_damaged{', (value) => value === 0)
    expect(await served('prom_dr_ship_log_corruptions_total{log="wal"')).toBe(1)
    expect(await served('prom_dr_ship_log_corruption_offset_bytes{log="wal"')).toBe(size)
    process.kill('SIGTERM')
    expect((await process.ended).code).toBe(5)
  })

  it('stops nothing when its directory vanishes, and is there again when that is', async () => {
    const { store, folder, write, once, until, served, shipping } = await scene()
    await write(5)
    expect((await once()).code).toBe(0)
    const process = shipping()
    await until('prom_dr_ship_passes_total{', (value) => value > 1)
    const newest = await served('prom_dr_ship_newest_sample_timestamp_seconds{') ?? 0
    await rename(folder, `${folder}-away`)
    await write(4)
    const seen = new Set<number>()
    await waitFor(async () => {
      const [generation] = await readGenerations(store, 'prom-a')
      const heartbeat = await readHeartbeat(store, 'prom-a', { generation: generation?.id ?? '' })
      if ((heartbeat?.newestScrape ?? 0) / 1000 > newest + 3.9) seen.add(heartbeat?.at ?? 0)
      // Between two of them a pass has ended.
      return seen.size >= 3
    }, { what: 'passes that sent what was written without the directory' })
    await rename(`${folder}-away`, folder)
    await until('prom_dr_ship_newest_sample_timestamp_seconds{', (value) => value > newest + 3.9)
    process.kill('SIGTERM')
    const { code, stderr } = await process.ended
    expect(code, stderr).toBe(0)
    expect(stderr.match(/metrics could not be written/g)).toHaveLength(1)
  })

  it('is refused at once where its directory is not there', async () => {
    const { folder, once, configure } = await scene()
    await configure({ metricsFile: join(folder, 'deeper', 'ship.prom') })
    const { code, stdout, stderr } = await once()
    expect(code).toBe(2)
    expect(stdout + stderr).toContain(join(folder, 'deeper'))
    expect(stdout + stderr).toContain('--collector.textfile.directory')
    await configure({ metricsFile: 'ship.txt' })
    expect((await once()).code).toBe(2)
  })
})
