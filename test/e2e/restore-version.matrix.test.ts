// Data of one version, brought back on hosts that have another.
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { promDr } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { programOf } from '../support/other-suite.ts'
import { missingPrograms, prometheusBinary, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { type Samples, differences, samplesOf } from '../support/shipped-server.ts'
import { shipOnce } from '../support/shipping.ts'

const newest = await programOf('sid', 'prometheus', 'prometheus')
const middle = await programOf('trixie', 'prometheus', 'prometheus')
const oldest = prometheusBinary()

describe.skipIf(missingPrograms('prometheus'))('the data of a server, shipped and backed up', () => {
  const repositories = new Map<string, { root: string; samples: Samples }>()

  beforeAll(async () => {
    for (const binary of [oldest, newest]) {
      const server = await startTestPrometheus({ binary, scrapeInterval: '500ms' })
      const root = join(await temporaryDirectory('repository'), 'repository')
      const store = createFileStore({ root })
      await waitForSamples(server, 'up', 3)
      await operationsOn(server.api, store).backup()
      await waitForSamples(server, 'up', 5)
      await shipOnce(server.api, store)
      repositories.set(binary, { root, samples: await samplesOf(server.api, { endMs: Date.now() }) })
      await server.kill()
    }
  })

  /** `prom-dr restore` on a host that has this Prometheus. */
  async function restoreWith(binary: string, of: string) {
    const { root, samples } = repositories.get(of) as { root: string; samples: Samples }
    const cwd = await temporaryDirectory('host')
    const target = join(cwd, 'data')
    await writeFile(join(cwd, 'prom-dr.yml'), JSON.stringify({ instance: 'prom-a', prometheus: { url: 'http://127.0.0.1:9', binary }, repositories: [{ name: 'primary', url: root }] }))
    const { code, stdout } = await promDr(['restore', '--at', 'latest', '--target', target, '--json'], { cwd })
    return { code, answer: JSON.parse(stdout), target, samples }
  }

  it('is not restored onto an older one that cannot read it: both versions are named, and nothing is touched', async () => {
    for (const [binary, name] of [[oldest, '2.42'], [middle, '2.53']] as const) {
      const { code, answer, target } = await restoreWith(binary, newest)
      expect(code, name).toBe(4)
      expect(answer.error.message).toMatch(/data of Prometheus 3\.\d+\.\d+\S*, read by 2\.\d+\.\d+/)
      expect(answer.error.message).toContain(`Prometheus ${name}`)
      expect(answer.error.hint).toMatch(/install Prometheus 3\.\d+\.\d+\S* or newer/)
      expect(existsSync(target)).toBe(false)
    }
  })

  it('is restored onto the same and onto newer ones, whole', async () => {
    for (const [binary, of] of [[newest, newest], [newest, oldest], [middle, oldest]] as const) {
      const { code, target, samples } = await restoreWith(binary, of)
      expect(code).toBe(0)
      const server = await startTestPrometheus({ binary, dataDir: target, scrapeItself: false, retention: '10y' })
      // What was scraped after the last look was not shipped.
      expect(differences(await samplesOf(server.api, { endMs: Date.now() }), samples).filter((line) => !line.includes('missing or changed  (0'))).toEqual([])
      await server.kill()
    }
  })
})
