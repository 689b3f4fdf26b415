import { access } from 'node:fs/promises'
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
  /** Goes on writing until the server has removed a segment, which takes a checkpoint. */
  const writeUntilGone = (segment: number, everyMs = 200) => waitFor(async () => {
    await write(5)
    // One block at a time, so that whoever holds the log can keep pace: it looks every second at the latest.
    await settle()
    return access(join(server.dataDir, 'wal', String(segment).padStart(8, '0'))).then(() => false, () => true)
  }, { what: `the end of segment ${segment}`, intervalMs: everyMs, timeoutMs: 60_000 })
  return {
    server, root, store, operations, write, settle, writeUntilGone,
    ship: (overrides: ShipOverrides = {}) => shipOnce(server.api, store, { backUp, ...overrides }),
    samples: (): Promise<Samples> => samplesOf(server.api, { endMs: Date.now() }),
  }
}
