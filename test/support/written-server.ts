import { access, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createFileStore } from '../../src/stores/file-store.ts'
import { temporaryDirectory } from './cleanup.ts'
import { operationsOn } from './operations.ts'
import { type TestPrometheusOptions, remoteWrite, startTestPrometheus, waitFor } from './prometheus.ts'
import { type Samples, samplesOf } from './shipped-server.ts'
import { type ShipOverrides, shipOnce } from './shipping.ts'

const series = 5

/**
 * A server whose time is written into it, an hour behind ours: it cuts blocks of 10 s and writes checkpoints as fast as samples come. Its WAL and its
 * recovery points go to one file repository.
 */
export async function startWrittenServer(options: TestPrometheusOptions = {}) {
  const server = await startTestPrometheus({ scrapeItself: false, minBlockDuration: '10s', retention: '10y', ...options })
  const root = join(await temporaryDirectory('repository'), 'repository')
  const store = createFileStore({ root })
  const operations = operationsOn(server.api, store)
  const backUp = ({ repositories }: { repositories: string[] }) => operations.backup({ head: 'always', repositories })
  let atMs = Date.now() - 3_600_000
  const write = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      atMs += 1000
      await remoteWrite(server.url, Array.from({ length: series }, (_, one) => ({ labels: { __name__: 'written', series: String(one) }, samples: [{ timestampMs: atMs, value: Math.sin(atMs * (one + 1)) }] })))
    }
  }
  /** Waits until the server has cut all the blocks it will: then it removes no segments until more is written. */
  const settle = () => waitFor(async () => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1])
    const count = (name: string) => value(`prometheus_tsdb_${name}`)
    // It compacts what is longer than one and a half blocks (tsdb/head.go, compactable).
    return count('head_max_time') - count('head_min_time') <= 15_000
  }, { what: 'the end of compaction' })
  /** Waits until whoever holds the log has hold of every segment that is there. */
  const allHeld = () => waitFor(async () => {
    const names = (await readdir(join(server.dataDir, 'wal'))).filter((name) => /^\d{8}$/.test(name))
    const links = await Promise.all(names.map((name) => stat(join(server.dataDir, 'wal', name)).then(({ nlink }) => nlink, () => 0)))
    return links.every((count) => count > 1)
  }, { what: 'every segment to be held' })
  /** Goes on writing until the server has removed a segment, which takes a checkpoint; with `held`, one block at a time, so that whoever holds the log keeps pace. */
  const writeUntilGone = (segment: number, { held = false } = {}) => waitFor(async () => {
    if (held) await allHeld()
    await write(5)
    await settle()
    return access(join(server.dataDir, 'wal', String(segment).padStart(8, '0'))).then(() => false, () => true)
  }, { what: `the end of segment ${segment}`, intervalMs: 200, timeoutMs: 120_000 })
  return {
    server, root, store, operations, write, settle, writeUntilGone,
    ship: (overrides: ShipOverrides = {}) => shipOnce(server.api, store, { backUp, ...overrides }),
    samples: (): Promise<Samples> => samplesOf(server.api, { endMs: Date.now() }),
  }
}
