import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { createVictoriaMetricsComponent } from '../../src/components/victoriametrics.ts'
import { createVictoriaMetricsApi } from '../../src/integrations/victoriametrics/victoriametrics-api.ts'
import { withPreparedComponents } from '../../src/operations/components/restore-components.ts'
import type { RestorePartsRequest } from '../../src/operations/components/restore-components-report.ts'
import { readIntents } from '../../src/repository/intents.ts'
import { readRecoveryPoints } from '../../src/repository/recovery-points.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { freePort } from '../../src/system/ports.ts'
import { startProgram } from '../../src/system/running-program.ts'
import { knownRepository, makeArchive } from '../support/archived.ts'
import { keysOf } from '../support/bodies.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { componentsContext } from '../support/components.ts'
import { missingPrograms } from '../support/programs.ts'
import { waitFor } from '../support/wait-for.ts'

const signal = new AbortController().signal
const firstMs = Date.now() - 3_600_000

async function startVictoriaMetrics(directory: string, port: number) {
  const program = await startProgram('victoria-metrics', [`-httpListenAddr=127.0.0.1:${port}`, `-storageDataPath=${join(directory, 'vm')}`, '-retentionPeriod=10y'], { logFile: join(directory, `log-${Math.random()}`) })
  atEndOfFile(async () => void (await program.kill()))
  const url = `http://127.0.0.1:${port}`
  await waitFor(async () => (await fetch(`${url}/health`)).ok, { what: 'VictoriaMetrics' })
  return {
    stop: () => program.stop(30_000),
    async write(batch: number) {
      const lines = Array.from({ length: 100 }, (_, index) => `samples{batch="${batch}"} ${index} ${firstMs + index * 1000}`)
      await fetch(`${url}/api/v1/import/prometheus`, { method: 'POST', body: `${lines.join('\n')}\n` })
    },
    async batches(): Promise<string[]> {
      const text = await (await fetch(`${url}/api/v1/export?match[]=samples`)).text()
      return text.split('\n').filter((line) => line !== '').map((line) => (JSON.parse(line) as { metric: { batch: string } }).metric.batch).sort()
    },
  }
}

describe.skipIf(missingPrograms('victoria-metrics', 'vmbackup', 'vmrestore'))('VictoriaMetrics in a recovery point', () => {
  it('is stored by its own tool in the repository, counted, and comes back as it was then', async () => {
    const directory = await temporaryDirectory('vm')
    const root = join(directory, 'repository')
    const port = await freePort()
    const server = await startVictoriaMetrics(directory, port)
    const component = createVictoriaMetricsComponent({ api: createVictoriaMetricsApi({ url: `http://127.0.0.1:${port}` }), storageDataPath: join(directory, 'vm'), now: () => systemClock.now() })
    const components = componentsContext([component], { places: new Map([['primary', { url: pathToFileURL(root).href }]]) })
    const store = await knownRepository(createFileStore({ root }))
    await server.write(1)
    const first = await makeArchive(store, components)
    await server.write(2)
    const second = await makeArchive(store, components)
    expect(second.recoveryPoint.archives).toMatchObject([{ component: 'victoriametrics', reused: true }])
    const { points, damaged } = await readRecoveryPoints(store, 'prom-a')
    expect(damaged).toEqual([])
    for (const { id, archives } of points) {
      expect(archives[0]?.external).toMatchObject({ prefix: `archives/victoriametrics/external/${id}/` })
      const keys = (await keysOf(store)).filter((key) => key.startsWith(`instances/prom-a/archives/victoriametrics/external/${id}/`))
      expect(archives[0]?.external?.objects).toBe(keys.length)
      expect(keys.length).toBeGreaterThan(3)
    }
    expect(await readIntents(store, 'prom-a')).toEqual([])
    await server.stop()
    await rm(join(directory, 'vm'), { recursive: true })
    for (const [id, expected] of [[first.recoveryPoint.id, ['1']], [second.recoveryPoint.id, ['1', '2']]] as const) {
      const request: RestorePartsRequest = { at: { kind: 'recovery-point', id }, only: ['victoriametrics'], repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: false, sideInstance: false }
      const reports = await withPreparedComponents({ instance: 'prom-a', repositories: [{ name: 'primary', store }], components, signal }, request, (prepared) => prepared.restore())
      expect(reports).toMatchObject([{ component: 'victoriametrics', ok: true }])
      const again = await startVictoriaMetrics(directory, port)
      expect(await again.batches()).toEqual(expected)
      await again.stop()
    }
    const target = join(directory, 'look')
    const request: RestorePartsRequest = { at: { kind: 'latest' }, only: ['victoriametrics'], componentsTarget: target, repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: false, sideInstance: false }
    const [looked] = await withPreparedComponents({ instance: 'prom-a', repositories: [{ name: 'primary', store }], components, signal }, request, (prepared) => prepared.restore())
    expect(looked).toMatchObject({ ok: true, actions: expect.arrayContaining([expect.stringContaining('objects of its own tool')]) })
  })
})
