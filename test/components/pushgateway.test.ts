import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createPushgatewayComponent } from '../../src/components/pushgateway.ts'
import { freePort } from '../../src/system/ports.ts'
import { startProgram } from '../../src/system/running-program.ts'
import { collecting, restoring } from '../support/component-directories.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { waitFor } from '../support/wait-for.ts'

const now = () => new Date('2026-11-21T03:00:00Z')

async function startPushgateway(directory: string, persistenceFile: string) {
  const port = await freePort()
  const program = await startProgram('prometheus-pushgateway', [`--web.listen-address=127.0.0.1:${port}`, `--persistence.file=${persistenceFile}`], { logFile: join(directory, 'log') })
  onTestFinished(() => void program.kill())
  const url = `http://127.0.0.1:${port}`
  await waitFor(async () => (await fetch(`${url}/-/ready`)).ok, { what: 'the Pushgateway' })
  return { url, stop: () => program.stop() }
}

describe('the Pushgateway', () => {
  it('has what jobs had pushed after its file was lost and restored', async ({ skip }) => {
    needPrograms({ skip }, 'prometheus-pushgateway')
    const directory = await temporaryDirectory()
    const [live, into] = [join(directory, 'live'), join(directory, 'collected')]
    await Promise.all([mkdir(live), mkdir(into)])
    const persistenceFile = join(live, 'pushgateway.data')
    const first = await startPushgateway(directory, persistenceFile)
    await fetch(`${first.url}/metrics/job/nightly`, { method: 'POST', body: 'last_success_seconds 1795247048\n' })
    await first.stop()
    const component = createPushgatewayComponent({ persistenceFile, now })
    expect((await component.discover({ signal: new AbortController().signal }))[0]).toMatchObject({ level: 'ok' })
    await component.collect(into, collecting())
    await rm(live, { recursive: true })
    const restored = await component.restore(into, restoring())
    expect(restored.warnings).toEqual([expect.stringContaining('restore while it is stopped')])
    const second = await startPushgateway(directory, persistenceFile)
    expect(await (await fetch(`${second.url}/metrics`)).text()).toMatch(/last_success_seconds\{.*job="nightly".*\} 1\.795247048e\+09/)
    await second.stop()
  })

  it('is refused a file that it did not write', async () => {
    const directory = await temporaryDirectory()
    const into = join(directory, 'collected')
    await mkdir(into)
    const persistenceFile = join(directory, 'pushgateway.data')
    await writeFile(persistenceFile, Buffer.alloc(100))
    const component = createPushgatewayComponent({ persistenceFile, now })
    await component.collect(into, collecting())
    await expect(component.restore(into, restoring())).rejects.toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining('not what a Pushgateway writes') })
  })
})
