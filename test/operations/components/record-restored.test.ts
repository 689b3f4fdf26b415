import { expect, test } from 'vitest'
import { noProgress } from '../../../src/domain/progress.ts'
import type { RestorePartsRequest } from '../../../src/operations/components/restore-components-report.ts'
import { restoreParts } from '../../../src/operations/components/restore-parts.ts'
import { unsealJson } from '../../../src/repository/sealed-json.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { createFaultyStore } from '../../fakes/faulty-store.ts'
import { knownRepository, makeArchive, writeTree } from '../../support/archived.ts'
import { keysOf, readText } from '../../support/bodies.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

async function scene() {
  const store = await knownRepository()
  const directory = await temporaryDirectory()
  await writeTree(directory, { 'app.conf': 'a = 1\n' })
  const [etc, other] = [directoryComponent('etc', directory), directoryComponent('other', directory)]
  const components = componentsContext([etc, other])
  await makeArchive(store, components)
  other.failWith = 'the disk is gone'
  const restore = (of: ObjectStore, request: Partial<RestorePartsRequest> = {}) => restoreParts({
    instance: 'prom-a', repositories: [{ name: 'primary', store: of }], components, settings: { filesAtOnce: 1 }, decidedAtMs: 0, clock: systemClock, logger: silentLogger, progress: noProgress, signal: new AbortController().signal,
    // Of the TSDB's restore, which is not asked for.
    probe: undefined as never, startServer: undefined as never,
  }, { at: { kind: 'latest' }, only: ['etc', 'other'], repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: false, sideInstance: false, ...request })
  const records = async () => (await keysOf(store)).filter((key) => key.startsWith('instances/prom-a/restores/'))
  return { store, restore, records }
}

test('a restore of components alone leaves a record of what became of each', async () => {
  const { store, restore, records } = await scene()
  const report = await restore(store)
  const [key = '', ...others] = await records()
  expect(others).toEqual([])
  const point = report.components?.[0]?.recoveryPoint
  expect(unsealJson(Buffer.from(await readText(store, key)), key)).toMatchObject({
    instance: 'prom-a', requestedAt: 'latest', recoverableAt: report.recoverableAt, rpoSeconds: null, rtoSeconds: null,
    stages: [{ name: 'fetch and check' }, { name: 'put in place' }],
    components: [{ component: 'etc', recoveryPoint: point, repository: 'primary', files: 1, ok: true }, { component: 'other', ok: false, error: 'COMPONENT_FAILED' }],
  })
  expect(report.warnings).toEqual([])
})

test('a dry run leaves none, and a repository that takes none is warned of while the restore stands', async () => {
  const { store, restore, records } = await scene()
  await restore(store, { dryRun: true })
  expect(await records()).toEqual([])
  const readOnly = createFaultyStore(store, [{ verb: 'create', call: 1, key: /\/restores\//, at: 'before' }])
  const report = await restore(readOnly, { only: ['etc'] })
  expect(readOnly.fired).toHaveLength(1)
  expect(report).toMatchObject({ components: [{ ok: true }], warnings: [expect.stringContaining('the record of this restore could not be kept in primary')] })
  expect(await records()).toEqual([])
})
