import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createPrometheusComponent } from '../../src/components/prometheus/prometheus-component.ts'
import { archive } from '../../src/operations/components/archive.ts'
import type { ComponentsContext } from '../../src/operations/components/components-context.ts'
import { restoreParts } from '../../src/operations/components/restore-parts.ts'
import type { RestorePartsRequest } from '../../src/operations/components/restore-components-report.ts'
import { readIntents } from '../../src/repository/intents.ts'
import { readRecoveryPoints } from '../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { isDeadHere, ownerNames, ownerNumbers, thisProcess } from '../../src/system/machine.ts'
import { noProgress } from '../../src/domain/progress.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { treeOf, writeTree } from '../support/archived.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { componentsContext, directoryComponent } from '../support/components.ts'
import { ruleFile } from '../support/configuration-files.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'

const self = thisProcess()
const isDead = (other: typeof self) => isDeadHere(other, self)
const signal = new AbortController().signal

function archiving(server: TestPrometheus, store: ObjectStore, components: ComponentsContext) {
  return archive({
    instance: 'prom-a', prometheus: server.api, dataDir: undefined, repositories: async () => [{ name: 'primary', store }], components, self, isDead, ownerNames, timezone: 'UTC',
    clock: systemClock, logger: silentLogger, signal,
  }, { adopt: false, repositories: [] })
}

function restoring(server: TestPrometheus, store: ObjectStore, components: ComponentsContext, request: Partial<RestorePartsRequest>) {
  return restoreParts({
    instance: 'prom-a', repositories: [{ name: 'primary', store }], components, settings: { filesAtOnce: 4 }, decidedAtMs: performance.now(),
    startServer: async () => Promise.reject(new Error('no server is started here')),
    probe: { prometheus: server.api, processesUsing: async () => [], ownerNumbers, localVersion: async () => ({ major: 2, minor: 42, patch: 0 }), uid: process.getuid?.() ?? 0, gids: [process.getegid?.() ?? 0] },
    clock: systemClock, logger: silentLogger, progress: noProgress, signal,
  }, { at: { kind: 'latest' }, repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: false, sideInstance: true, ...request })
}

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a recovery point of a server and what belongs to it', () => {
  async function arrange() {
    const server = await startTestPrometheus({ config: { rule_files: ['rules/*.yml'] }, flags: ['--web.enable-lifecycle'] })
    await writeTree(server.directory, { 'rules/a.yml': ruleFile('a') })
    const etc = await temporaryDirectory('etc')
    await writeTree(etc, { 'haproxy.cfg': 'first' })
    const files = directoryComponent('etc', etc)
    const prometheus = createPrometheusComponent({ api: server.api, settings: {}, clock: systemClock })
    await waitForSamples(server, 'up', 3)
    return { server, etc, files, store: createMemoryStore(), components: componentsContext([files, prometheus]) }
  }

  it('has both, each as it was before the snapshot, and comes back together', async () => {
    const { server, etc, store, components } = await arrange()
    const made = await operationsOn(server.api, store, { components }).backup()
    expect(made).toMatchObject({ recoveryPoint: { archives: [{ component: 'etc', reused: false }, { component: 'prometheus', kind: 'prometheus', reused: false }] }, failedComponents: [] })
    expect(made.stages.map(({ name }) => name)).toEqual(expect.arrayContaining(['collect components', 'snapshot']))
    expect(made.stages.findIndex(({ name }) => name === 'collect components')).toBeLessThan(made.stages.findIndex(({ name }) => name === 'snapshot'))
    const again = await operationsOn(server.api, store, { components }).backup()
    expect(again.recoveryPoint.archives.map(({ reused }) => reused)).toEqual([true, true])

    await rm(etc, { recursive: true })
    await writeFile(join(server.directory, 'rules/a.yml'), ruleFile('changed'))
    const target = join(await temporaryDirectory('target'), 'data')
    const report = await restoring(server, store, components, { all: true, target })
    expect(report).toMatchObject({ plan: { recoveryPoint: again.recoveryPoint.id }, target, components: [{ component: 'etc', ok: true }, { component: 'prometheus', ok: true }] })
    expect(await treeOf(etc)).toEqual({ 'haproxy.cfg': 'first' })
    expect(await readFile(join(server.directory, 'rules/a.yml'), 'utf8')).toBe(ruleFile('a'))
    expect(Object.keys(await treeOf(target)).length).toBeGreaterThan(3)
  })

  it('restores neither where the TSDB is refused, and the TSDB alone where nothing is named', async () => {
    const { server, etc, files, store, components } = await arrange()
    await operationsOn(server.api, store, { components }).backup()
    await writeTree(etc, { 'haproxy.cfg': 'of today' })
    const target = await temporaryDirectory('target')
    await writeTree(target, { 'not-empty': 'x' })
    expect(await rejectionOf(restoring(server, store, components, { only: ['tsdb', 'etc'], target }))).toMatchObject({ code: 'PREFLIGHT_REFUSED' })
    expect(await treeOf(etc)).toEqual({ 'haproxy.cfg': 'of today' })
    const alone = await restoring(server, store, components, { target: join(target, 'data') })
    expect(alone.components).toBeUndefined()
    expect(files.calls.some((call) => call.startsWith('restore'))).toBe(false)
  })

  it('is committed without a component that fails', async () => {
    const { server, files, store, components } = await arrange()
    files.failWith = 'permission denied'
    const made = await operationsOn(server.api, store, { components }).backup()
    expect(made.failedComponents).toMatchObject([{ component: 'etc', error: { message: 'permission denied' } }])
    expect(made.repositories).toMatchObject([{ ok: true }])
    expect((await readRecoveryPoints(store, 'prom-a')).points).toMatchObject([{ archives: [{ component: 'prometheus' }], head: { kind: 'block' } }])
  })

  it('is the base of a TSDB\'s restore, though components alone were archived after it, and of its next backup', async () => {
    const { server, etc, store, components } = await arrange()
    const full = await operationsOn(server.api, store, { components }).backup()
    await writeTree(etc, { 'haproxy.cfg': 'second' })
    const later = await archiving(server, store, components)
    expect(later.recoveryPoint.archives.map(({ component, reused }) => [component, reused])).toEqual([['etc', false], ['prometheus', true]])
    expect(later.recoveryPoint.tiers).toEqual([])
    const target = join(await temporaryDirectory('target'), 'data')
    const report = await restoring(server, store, components, { only: ['tsdb', 'etc'], target })
    expect(report).toMatchObject({ plan: { recoveryPoint: full.recoveryPoint.id }, components: [{ component: 'etc', recoveryPoint: later.recoveryPoint.id }] })
    expect(await rejectionOf(restoring(server, store, components, { at: { kind: 'recovery-point', id: later.recoveryPoint.id }, target: `${target}-2` }))).toMatchObject({ code: 'NO_RECOVERY_POINT' })
    const next = await operationsOn(server.api, store, { components }).backup()
    expect(next.recoveryPoint.archives.map(({ reused }) => reused)).toEqual([true, true])
    expect((await operationsOn(server.api, store).verify({ readData: true })).damaged).toEqual([])
  })

  it('names its archives in an intent before it stores them, and looks for them once more before it exists', async () => {
    const { server, store, components } = await arrange()
    const watched = createFaultyStore(store, [])
    const create = watched.create.bind(watched)
    let named: string[] = []
    watched.create = async (...args) => {
      if (args[0].includes('/archives/')) named = (await readIntents(store, 'prom-a')).flatMap(({ archives }) => archives)
      return create(...args)
    }
    await operationsOn(server.api, watched, { components }).backup()
    const [point] = (await readRecoveryPoints(store, 'prom-a')).points
    expect(named.sort()).toEqual(point?.archives.map(({ component, stored }) => `archives/${component}/${stored.sha256}.tar.gz`).sort())
    watched.create = create
    const put = watched.put.bind(watched)
    watched.put = async (...args) => {
      const written = await put(...args)
      // It has decided by then to use them again.
      if (args[0].includes('/intents/')) await store.delete(named.map((path) => `instances/prom-a/${path}`))
      return written
    }
    expect(await rejectionOf(operationsOn(server.api, watched, { components }).backup())).toMatchObject({ code: 'CONTENTION' })
    expect((await readRecoveryPoints(store, 'prom-a')).points).toHaveLength(1)
  })
})
