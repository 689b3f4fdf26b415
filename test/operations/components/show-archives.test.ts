import { chmod, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { list } from '../../../src/operations/report/list.ts'
import { show } from '../../../src/operations/report/show.ts'
import { diffArchives, showFile } from '../../../src/operations/components/show-archives.ts'
import { recoveryPointKey } from '../../../src/repository/layout.ts'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { bytesBody } from '../../../src/stores/object-store.ts'
import { knownRepository, makeArchive, writeTree } from '../../support/archived.ts'
import { keysOf } from '../../support/bodies.ts'
import { overwrite } from '../../support/both-stores.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { rejectionOf } from '../../support/operations.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const signal = new AbortController().signal

async function contextOn(store: ObjectStore) {
  const scratchParent = await temporaryDirectory()
  return { scratchParent, context: { repositories: [{ name: 'primary', store }], instance: 'prom-a', components: componentsContext([], { scratchParent }), signal } }
}

/** Two recovery points, and what changed between them. */
async function twoPoints() {
  const store = await knownRepository()
  const [etc, other] = [await temporaryDirectory(), await temporaryDirectory()]
  await writeTree(etc, { 'prometheus.yml': 'global:\n  scrape_interval: 15s\n', 'gone.yml': 'x: 1\n', 'dash.json': '{"a":1,"b":[1,2]}', 'same.yml': 'y: 1\n', 'tool.sh': '#!/bin/sh\n' })
  await writeFile(join(etc, 'blob'), Buffer.from([1, 0, 2]))
  await writeTree(other, { x: 'y' })
  const components = componentsContext([directoryComponent('prometheus', etc), directoryComponent('other', other)])
  await makeArchive(store, components)
  await writeTree(etc, { 'prometheus.yml': 'global:\n  scrape_interval: 60s\n', 'new.yml': 'z: 1\n', 'dash.json': '{"a":1,"b":[1,3]}' })
  await rm(join(etc, 'gone.yml'))
  await writeFile(join(etc, 'blob'), Buffer.from([1, 0, 3]))
  await chmod(join(etc, 'tool.sh'), 0o755)
  await makeArchive(store, components)
  const [first, second] = (await readRecoveryPoints(store, 'prom-a')).points
  return { store, first: first!.id, second: second!.id, ...(await contextOn(store)) }
}

describe('what changed between two recovery points', () => {
  test('is shown file by file: text as a unified diff, JSON laid out, bytes by their digests', async () => {
    const { context, first, second, scratchParent } = await twoPoints()
    const report = await diffArchives(context, { from: first, to: second, repositories: [] })
    expect(report).toMatchObject({ from: { id: first }, to: { id: second }, components: [{ component: 'other', change: 'same', files: [] }, { component: 'prometheus', change: 'changed' }] })
    const files = new Map(report.components[1]?.files.map((file) => [file.path, file]))
    expect([...files.keys()]).toEqual(['blob', 'dash.json', 'gone.yml', 'new.yml', 'prometheus.yml', 'tool.sh'])
    expect(files.get('prometheus.yml')?.diff).toEqual(['--- a/prometheus.yml', '+++ b/prometheus.yml', '@@ -1,2 +1,2 @@', ' global:', '-  scrape_interval: 15s', '+  scrape_interval: 60s'])
    expect(files.get('dash.json')?.diff).toEqual(expect.arrayContaining(['-    2', '+    3']))
    expect(files.get('blob')).toMatchObject({ change: 'changed', diff: null, before: { sizeBytes: 3 }, after: { sizeBytes: 3 } })
    expect(files.get('gone.yml')).toMatchObject({ change: 'removed', after: null, diff: expect.arrayContaining(['-x: 1']) })
    expect(files.get('new.yml')).toMatchObject({ change: 'added', before: null, diff: expect.arrayContaining(['--- /dev/null']) })
    expect(files.get('tool.sh')).toMatchObject({ change: 'mode', diff: null, before: { mode: 0o644 }, after: { mode: 0o755 } })
    expect(await readdir(scratchParent)).toEqual([])
  })

  test('is nothing from one to itself, and "latest" is one of them', async () => {
    const { context, second } = await twoPoints()
    const { components } = await diffArchives(context, { from: 'latest', to: second, repositories: [] })
    expect(components.map(({ change }) => change)).toEqual(['same', 'same'])
  })

  test('is refused for an id that there is not', async () => {
    const { context, first } = await twoPoints()
    expect(await rejectionOf(diffArchives(context, { from: first, to: '20200101T000000Z-00000000', repositories: [] }))).toMatchObject({ code: 'NO_RECOVERY_POINT' })
  })
})

describe('one file', () => {
  test('is given out byte by byte', async () => {
    const { context, first } = await twoPoints()
    expect(Buffer.from((await showFile(context, { id: first, path: 'prometheus/blob', repositories: [] })).content)).toEqual(Buffer.from([1, 0, 2]))
    expect(await showFile(context, { id: 'latest', path: 'prometheus/prometheus.yml', repositories: [] })).toMatchObject({ component: 'prometheus', path: 'prometheus.yml', content: Buffer.from('global:\n  scrape_interval: 60s\n') })
  })

  test.each(['prometheus/missing.yml', 'prometheus', 'unknown/x', '', '../x', 'prometheus/../prometheus/blob'])('is refused as %j, naming what there is', async (path) => {
    const { context, first } = await twoPoints()
    expect(await rejectionOf(showFile(context, { id: first, path, repositories: [] }))).toMatchObject({ code: 'USAGE', hint: expect.stringMatching(/it has (other, prometheus|prometheus\/blob)/) })
  })

  test('comes from another repository where one has it damaged', async () => {
    const [near, far] = [await knownRepository(), await knownRepository()]
    const repositories = [{ name: 'near', store: near }, { name: 'far', store: far }]
    const etc = await temporaryDirectory()
    await writeTree(etc, { x: 'y' })
    await makeArchive(repositories, componentsContext([directoryComponent('etc', etc)]))
    const key = (await keysOf(near)).find((candidate) => candidate.includes('/archives/')) ?? ''
    await near.put(key, bytesBody(Buffer.from('garbage')))
    const { context } = await contextOn(near)
    expect((await showFile({ ...context, repositories }, { id: 'latest', path: 'etc/x', repositories: [] })).content.toString()).toBe('y')
    expect(await rejectionOf(showFile(context, { id: 'latest', path: 'etc/x', repositories: [] }))).toMatchObject({ code: 'DAMAGED', details: { key } })
  })
})

describe('a recovery point whose manifest is damaged', () => {
  test('is told as damaged by its id, not as one that is not there', async () => {
    const { context, store, first } = await twoPoints()
    await overwrite(store, recoveryPointKey('prom-a', first), 'x')
    const damaged = { code: 'DAMAGED', message: expect.stringContaining(`recovery point ${first}`), details: { key: recoveryPointKey('prom-a', first) } }
    expect(await rejectionOf(show(context, { id: first, repositories: [] }))).toMatchObject(damaged)
    expect(await rejectionOf(diffArchives(context, { from: first, to: 'latest', repositories: [] }))).toMatchObject(damaged)
    expect((await show(context, { id: 'latest', repositories: [] })).id).not.toBe(first)
  })
})

describe('a recovery point of components alone', () => {
  test('is listed and shown as such, with its archives and, on request, their files', async () => {
    const { context, first } = await twoPoints()
    const report = await list(context, { repositories: [] })
    expect(report.instances).toMatchObject([{ name: 'prom-a', recoverable: [], recoveryPoints: [{ head: 'none', headIncluded: false, blocks: 0, archives: ['other', 'prometheus'] }, { head: 'none' }] }])
    expect(report.instances[0]?.recoveryPoints[0]?.bytes).toBeGreaterThan(100)
    const shown = await show(context, { id: first, repositories: [] })
    expect(shown).toMatchObject({ head: 'none', archives: [{ component: 'other', files: 1 }, { component: 'prometheus', files: 6, leftOut: [{ path: '/secret' }] }] })
    expect(shown.archives[0]?.paths).toBeUndefined()
    expect((await show(context, { id: 'latest', files: true, repositories: [] })).archives[0]?.paths).toMatchObject([{ path: 'x', sizeBytes: 1, mode: 0o644 }])
  })
})
