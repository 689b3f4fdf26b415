import { cp, lstat, readFile, readdir, readlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { createHash } from 'node:crypto'
import type { PrometheusApi, RawSeries } from '../../src/integrations/prometheus/prometheus-api.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { makeBlocks } from './blocks.ts'
import { temporaryDirectory } from './cleanup.ts'
import { operationsOn } from './operations.ts'
import { type TestPrometheus, startTestPrometheus, waitForSamples } from './prometheus.ts'

const blockSpanMs = 2 * 3_600_000

export interface Restorable {
  /** Of the file repository. */
  root: string
  /** A repository of its own with the same content, to be damaged. */
  copy(): Promise<{ root: string; store: ObjectStore }>
  /** Of the server, which is dead. */
  api: PrometheusApi
  dataDir: string
  /** Oldest first. */
  ids: string[]
  blocks: { ulid: string }[]
}

/**
 * A file repository with recovery points of a real server that is dead now: three blocks of the last day, one of them with
 * deletions, and a head. For a `beforeAll`; gone at the end of the test file.
 */
export async function makeRestorable(options: { recoveryPoints?: number; series?: number } = {}): Promise<Restorable> {
  const { recoveryPoints = 1, series = 8 } = options
  const dataDir = await temporaryDirectory('source')
  const startMs = Math.floor(Date.now() / blockSpanMs - 6) * blockSpanMs
  const { blocks } = await makeBlocks({ series, samples: 1000, stepMs: 20_000, startMs, dataDir, value: (s, k) => Math.sin(s + k) })
  const server = await startTestPrometheus({ dataDir, retention: '10y', externalLabels: { replica: 'a' } })
  await waitForSamples(server, 'up', 3)
  const deletion = new URLSearchParams({ 'match[]': 'prom_dr_test{series="1"}', start: String(startMs / 1000), end: String(startMs / 1000 + 600) })
  const answer = await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?${deletion}`, { method: 'POST' })
  if (!answer.ok) throw new Error(`delete_series: HTTP ${answer.status}`)
  const root = join(await temporaryDirectory('repository'), 'repository')
  const ids: string[] = []
  for (let made = 0; made < recoveryPoints; made += 1) {
    // Each has newer samples than the one before, and a second of its own.
    const before = await samplesOf(server)
    if (made > 0) await waitForSamples(server, 'up', before + 2)
    ids.push((await operationsOn(server.api, createFileStore({ root })).backup()).recoveryPoint.id)
  }
  await server.kill()
  const copy = async () => {
    const own = join(await temporaryDirectory('copy'), 'repository')
    await cp(root, own, { recursive: true })
    return { root: own, store: createFileStore({ root: own }) }
  }
  return { root, copy, api: server.api, dataDir, ids, blocks }
}

async function samplesOf({ api }: Pick<TestPrometheus, 'api'>): Promise<number> {
  const answer = JSON.parse(await api.query('count_over_time(up[1h])', Date.now())) as { result: { value: [number, string] }[] }
  return Number(answer.result[0]?.value[1] ?? 0)
}

/** Everything that a server knows up to a moment, sample by sample with all bits, as text that is equal when it is equal. */
export async function everySample(api: PrometheusApi, endMs: number): Promise<string[]> {
  const series = await api.remoteRead({ matchers: [{ type: '=~', name: '__name__', value: '.+' }], startMs: 0, endMs })
  return series.map(describeSeries).sort()
}

function describeSeries({ labels, samples, histogramSamples }: RawSeries): string {
  const name = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
  return `${name} ${histogramSamples} ${samples.map(({ timestampMs, valueBits }) => `${timestampMs}:${valueBits.toString(16)}`).join(' ')}`
}

/** Every name below a directory with kind, size, mode, owner and content: equal when nothing was changed. */
export async function recursiveListing(directory: string): Promise<string[]> {
  const lines: string[] = []
  const visit = async (path: string) => {
    const stats = await lstat(path)
    const facts = `${relative(directory, path) || '.'} ${stats.mode.toString(8)} ${stats.uid}:${stats.gid}`
    if (stats.isSymbolicLink()) lines.push(`${facts} -> ${await readlink(path)}`)
    else if (!stats.isDirectory()) lines.push(`${facts} ${stats.isFile() ? createHash('sha256').update(await readFile(path)).digest('hex') : 'special'}`)
    else {
      lines.push(facts)
      for (const name of (await readdir(path)).sort()) await visit(join(path, name))
    }
  }
  await visit(directory)
  return lines
}
