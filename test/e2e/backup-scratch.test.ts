import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { describe, expect, it } from 'vitest'
import { promDr } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { missingPrograms, promtoolBinary, startTestPrometheus } from '../support/prometheus.ts'

describe.skipIf(missingPrograms('prometheus', 'promtool'))('what a backup has of configurations in the clear', () => {
  it('is removed by the next run when this one is killed while promtool judges it', async () => {
    const server = await startTestPrometheus()
    const [cwd, scratch] = [await temporaryDirectory('cwd'), await temporaryDirectory('scratch')]
    const configure = (promtool: string) => writeFile(join(cwd, 'prom-dr.yml'), stringify({
      instance: 'prom-a',
      prometheus: { url: server.url },
      repositories: [{ name: 'local', url: `file://${cwd}/repository` }],
      components: { prometheus: { promtool } },
    }))
    const deadly = join(cwd, 'promtool')
    await writeFile(deadly, '#!/bin/sh\nkill -9 $PPID\n', { mode: 0o755 })
    await configure(deadly)
    const env = { TMPDIR: scratch }
    expect(await promDr(['archive'], { cwd, env })).toMatchObject({ signal: 'SIGKILL' })
    expect(await readdir(scratch)).toEqual([expect.stringMatching(/^prom-dr-scratch-/)])
    await configure(promtoolBinary())
    expect(await promDr(['archive'], { cwd, env })).toMatchObject({ code: 0 })
    expect(await readdir(scratch)).toEqual([])
  })
})
