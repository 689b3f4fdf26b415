import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, describe, expect, it, onTestFinished } from 'vitest'
import type { ExternalPlace } from '../../src/components/component.ts'
import { type VictoriaMetricsSettings, createVictoriaMetricsComponent } from '../../src/components/victoriametrics.ts'
import { createVictoriaMetricsApi } from '../../src/integrations/victoriametrics/victoriametrics-api.ts'
import { freePort } from '../../src/system/ports.ts'
import { startProgram } from '../../src/system/running-program.ts'
import { collecting, restoring } from '../support/component-directories.ts'
import { needPrograms } from '../support/programs.ts'
import { createTestBucket } from '../support/s3-server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { waitFor } from '../support/wait-for.ts'

const signal = new AbortController().signal
const now = () => new Date('2026-11-21T03:00:00Z')
const firstMs = Date.now() - 3_600_000

async function startVictoriaMetrics(directory: string, storageDataPath: string, flags: string[] = []) {
  const port = await freePort()
  const program = await startProgram('victoria-metrics', [`-httpListenAddr=127.0.0.1:${port}`, `-storageDataPath=${storageDataPath}`, '-retentionPeriod=10y', ...flags], { logFile: join(directory, 'log') })
  onTestFinished(() => void program.kill())
  const url = `http://127.0.0.1:${port}`
  await waitFor(async () => (await fetch(`${url}/health`)).ok, { what: 'VictoriaMetrics' })
  return {
    url,
    stop: () => program.stop(30_000),
    async write(batch: number) {
      const lines = Array.from({ length: 200 }, (_, index) => `samples{batch="${batch}"} ${index} ${firstMs + index * 1000}`)
      await fetch(`${url}/api/v1/import/prometheus`, { method: 'POST', body: `${lines.join('\n')}\n` })
    },
    /** Number of samples of a batch. */
    count: async (batch: number): Promise<number> => {
      const text = await (await fetch(`${url}/api/v1/export?match[]=samples{batch="${batch}"}`)).text()
      return text.split('\n').filter((line) => line !== '').reduce((sum, line) => sum + (JSON.parse(line) as { values: number[] }).values.length, 0)
    },
  }
}

async function arrange(settings: Partial<VictoriaMetricsSettings> = {}, flags: string[] = []) {
  const directory = await temporaryDirectory()
  const storageDataPath = join(directory, 'vm')
  const server = await startVictoriaMetrics(directory, storageDataPath, flags)
  const component = createVictoriaMetricsComponent({ api: createVictoriaMetricsApi({ url: server.url }), storageDataPath, now, ...settings })
  return { directory, storageDataPath, server, component, external: component.external! }
}

describe('VictoriaMetrics', () => {
  it.for(['a directory', 'a bucket'])('comes back as it was at the first backup, from %s, and the second copies within the store', async (kind, { skip }) => {
    needPrograms({ skip }, 'victoria-metrics', 'vmbackup', 'vmrestore')
    const { directory, storageDataPath, server, component, external } = await arrange()
    const place = await placesIn(kind, directory, skip)
    await server.write(1)
    const into = join(directory, 'collected')
    await mkdir(into)
    await component.collect(into, collecting())
    expect(await component.check(into, { signal })).toEqual([{ name: 'description', level: 'ok', detail: expect.stringMatching(/^VictoriaMetrics \S+/) }])
    await external.store(place('one/'), { previous: undefined, recoveryPoint: 'one', signal })
    await server.write(2)
    await external.store(place('two/'), { previous: place('one/'), recoveryPoint: 'two', signal })
    // No snapshot stays behind.
    expect(await (await fetch(`${server.url}/snapshot/list`)).json()).toMatchObject({ snapshots: [] })
    await expect(external.restore(place('one/'), restoring())).rejects.toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining('victoria-metric') })
    await server.stop()
    expect((await external.restore(place('one/'), restoring({ dryRun: true }))).actions[0]).toContain('would fill')
    const restored = await external.restore(place('one/'), restoring())
    expect(restored.movedAside).toEqual([{ from: storageDataPath, to: join(storageDataPath, '.prom-dr-replaced-20261121T030000Z') }])
    const again = await startVictoriaMetrics(directory, storageDataPath)
    expect([await again.count(1), await again.count(2)]).toEqual([200, 0])
    await again.stop()
    // Onto a machine that has nothing.
    await rm(storageDataPath, { recursive: true })
    await external.restore(place('two/'), restoring())
    const third = await startVictoriaMetrics(directory, storageDataPath)
    expect([await third.count(1), await third.count(2)]).toEqual([200, 200])
    await third.stop()
  })

  it('is copied although vmbackup was done before its own HTTP server had begun', async ({ skip }) => {
    needPrograms({ skip }, 'victoria-metrics', 'vmbackup')
    const scripts = await temporaryDirectory()
    const vmbackup = join(scripts, 'vmbackup')
    // What vmbackup 1.79 says then, twice, before the real one runs.
    const panic = '2026-11-21T11:03:55.607Z\\tpanic\\tVictoriaMetrics/lib/httpserver/httpserver.go:166\\tBUG: there is no http server at \\"127.0.0.1:0\\"'
    await writeFile(vmbackup, `#!/bin/sh\necho run >>${scripts}/runs\nif [ "$(wc -l <${scripts}/runs)" -le "$(cat ${scripts}/panics)" ]; then printf '${panic}\\n' >&2; exit 2; fi\nexec vmbackup "$@"\n`, { mode: 0o755 })
    const { directory, server, external } = await arrange({ vmbackup })
    await server.write(1)
    const store = (panics: number, prefix: string) => writeFile(join(scripts, 'panics'), `${panics}`).then(() => external.store({ url: `file://${directory}/repository`, prefix }, { previous: undefined, recoveryPoint: 'one', signal }))
    await store(2, 'one/')
    expect(await readdir(join(directory, 'repository/one'))).toContain('backup_complete.ignore')
    await expect(store(99, 'two/')).rejects.toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/ended with 2: .* panic .*there is no http server/) })
    expect(await (await fetch(`${server.url}/snapshot/list`)).json()).toMatchObject({ snapshots: [] })
    await server.stop()
  })

  it('has its snapshot removed when the copy fails', async ({ skip }) => {
    needPrograms({ skip }, 'victoria-metrics', 'vmbackup')
    const { directory, server, external } = await arrange()
    await server.write(1)
    await writeFile(join(directory, 'file'), '')
    const place: ExternalPlace = { url: 's3://no-such-bucket', prefix: 'one/', s3: { endpoint: 'http://127.0.0.1:9', region: 'x', forcePathStyle: true, accessKeyId: 'a', secretAccessKey: 'very-secret' } }
    const failed = await external.store(place, { previous: undefined, recoveryPoint: 'one', signal: AbortSignal.timeout(1500) }).catch((error: Error) => error)
    expect(failed).toBeInstanceOf(Error)
    expect((failed as Error).message).not.toContain('very-secret')
    expect(await (await fetch(`${server.url}/snapshot/list`)).json()).toMatchObject({ snapshots: [] })
    await server.stop()
  })

  it('with a key on its snapshots is given it, and refuses those without, which doctor tells', async ({ skip }) => {
    needPrograms({ skip }, 'victoria-metrics', 'vmbackup', 'vmrestore')
    const { directory, server, component, storageDataPath } = await arrange({}, ['-snapshotAuthKey=open-sesame'])
    expect(await component.discover({ signal })).toContainEqual(expect.objectContaining({ name: 'victoriametrics', level: 'fail', advice: expect.stringContaining('authKeyFile') }))
    const authKeyFile = join(directory, 'key')
    await writeFile(authKeyFile, 'shut-sesame')
    const wrong = await createVictoriaMetricsApi({ url: server.url, authKeyFile }).listSnapshots().catch((error: Error) => error.message)
    expect(wrong).toContain('invalid authKey')
    expect(wrong).not.toContain('shut-sesame')
    await writeFile(authKeyFile, 'open-sesame\n')
    const keyed = createVictoriaMetricsComponent({ api: createVictoriaMetricsApi({ url: server.url, authKeyFile }), storageDataPath, now })
    expect((await keyed.discover({ signal })).map(({ level }) => level)).toEqual(['ok', 'ok', 'ok', 'ok'])
    await keyed.external!.store({ url: `file://${directory}/repository`, prefix: 'one/' }, { previous: undefined, recoveryPoint: 'one', signal })
    expect(await readdir(join(directory, 'repository/one'))).toContain('backup_complete.ignore')
    await server.stop()
  })
})

async function placesIn(kind: string, directory: string, skip: TestContext['skip']): Promise<(prefix: string) => ExternalPlace> {
  if (kind === 'a directory') return (prefix) => ({ url: `file://${directory}/repository`, prefix })
  const { bucket, endpoint, region, accessKeyId, secretAccessKey } = await createTestBucket({ skip })
  return (prefix) => ({ url: `s3://${bucket}/repository`, prefix, s3: { endpoint, region, forcePathStyle: true, accessKeyId, secretAccessKey } })
}
