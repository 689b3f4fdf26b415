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
  /** Goes on writing until the server has removed a segment, which takes a checkpoint. */
  const writeUntilGone = (segment: number) => waitFor(async () => {
    await write(5)
    return access(join(server.dataDir, 'wal', String(segment).padStart(8, '0'))).then(() => false, () => true)
  }, { what: `the end of segment ${segment}` })
  return {
    server, root, store, operations, write, writeUntilGone,
    ship: (overrides: ShipOverrides = {}) => shipOnce(server.api, store, { backUp, ...overrides }),
    samples: (): Promise<Samples> => samplesOf(server.api, { endMs: Date.now() }),
  }
}
