import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Component } from '../../../src/components/component.ts'
import type { NamedStore } from '../../../src/operations/backup/backup-context.ts'
import type { ComponentsContext } from '../../../src/operations/components/components-context.ts'
import type { RestorePartsRequest } from '../../../src/operations/components/restore-components-report.ts'
import { withPreparedComponents } from '../../../src/operations/components/restore-components.ts'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { bytesBody } from '../../../src/stores/object-store.ts'
import { ageWith, newKeyPair, writeIdentityFile } from '../../support/age.ts'
import { knownRepository, makeArchive, treeOf, writeTree } from '../../support/archived.ts'
import { keysOf } from '../../support/bodies.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { rejectionOf } from '../../support/operations.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const signal = new AbortController().signal
const files = { 'app.conf': 'a = 1\n', 'rules/one.yml': 'groups: []\n' }

async function etc(content: Record<string, string> = files): Promise<string> {
  const directory = await temporaryDirectory()
  await writeTree(directory, content)
  return directory
}

function restore(stores: ObjectStore | readonly NamedStore[], components: ComponentsContext, request: Partial<RestorePartsRequest>) {
  const repositories = 'url' in stores ? [{ name: 'primary', store: stores }] : stores
  const whole: RestorePartsRequest = { at: { kind: 'latest' }, repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: false, sideInstance: false, ...request }
  return withPreparedComponents({ instance: 'prom-a', repositories, components, signal }, whole, async (prepared) => ({ ...prepared, reports: await prepared.restore() }))
}

/** A repository with one component of this content. */
async function archived(content: Record<string, string> = files, name = 'etc') {
  const store = await knownRepository()
  const directory = await etc(content)
  const component = directoryComponent(name, directory)
  await makeArchive(store, componentsContext([component]))
  return { store, directory, component }
}

describe('a component', () => {
  test('comes back where its settings say, after its loss', async () => {
    const { store, directory, component } = await archived()
    await rm(directory, { recursive: true })
    const { reports, newestMs } = await restore(store, componentsContext([component]), { only: ['etc'] })
    expect(await treeOf(directory)).toEqual(files)
    const [point] = (await readRecoveryPoints(store, 'prom-a')).points
    expect(newestMs).toBe(point?.createdAt)
    expect(reports).toEqual([expect.objectContaining({ component: 'etc', ok: true, recoveryPoint: point?.id, repository: 'primary', files: 2, actions: [`copied to ${directory}`], toReenter: ['a password'], leftOut: [{ path: '/secret', reason: 'it is not encrypted' }] })])
  })

  test('comes from the newest recovery point at or before the moment that has it, also where a newer one lacks it', async () => {
    const { store, directory, component } = await archived({ 'app.conf': 'first' })
    const other = directoryComponent('other', await etc())
    const both = componentsContext([component, other])
    await writeTree(directory, { 'app.conf': 'second' })
    await makeArchive(store, both)
    component.failWith = 'down'
    await makeArchive(store, both)
    component.failWith = undefined
    const points = (await readRecoveryPoints(store, 'prom-a')).points
    const at = async (moment: RestorePartsRequest['at']) => {
      await restore(store, both, { only: ['etc'], at: moment })
      return (await treeOf(directory))['app.conf']
    }
    expect(await at({ kind: 'latest' })).toBe('second')
    expect(await at({ kind: 'time', ms: points[1]!.createdAt - 1 })).toBe('first')
    expect(await at({ kind: 'time', ms: points[1]!.createdAt })).toBe('second')
    expect(await at({ kind: 'recovery-point', id: points[0]!.id })).toBe('first')
    expect(await rejectionOf(at({ kind: 'recovery-point', id: points[2]!.id }))).toMatchObject({ code: 'NO_RECOVERY_POINT', hint: expect.stringContaining('there are: other') })
    expect(await rejectionOf(at({ kind: 'time', ms: points[0]!.createdAt - 1 }))).toMatchObject({ code: 'NO_RECOVERY_POINT' })
    expect(await rejectionOf(restore(store, both, { only: ['unheard-of'] }))).toMatchObject({ code: 'NO_RECOVERY_POINT', message: expect.stringContaining('unheard-of') })
  })

  test('is the one of Prometheus where "config" is asked for', async () => {
    const { store, component } = await archived(files, 'prometheus')
    expect((await restore(store, componentsContext([component]), { only: ['config'] })).reports).toMatchObject([{ component: 'prometheus', ok: true }])
  })

  test('that its own check refuses stays as it is, unless it is forced; a dry run only says so', async () => {
    const { store, directory, component } = await archived()
    component.broken = true
    await writeTree(directory, { 'app.conf': 'of today' })
    const components = componentsContext([component])
    expect(await rejectionOf(restore(store, components, { only: ['etc'] }))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining('they are broken') })
    const dry = await restore(store, components, { only: ['etc'], dryRun: true })
    expect(dry.reports).toMatchObject([{ findings: [{ level: 'fail', detail: 'they are broken' }], actions: [`would copy to ${directory}`] }])
    expect((await treeOf(directory))['app.conf']).toBe('of today')
    await restore(store, components, { only: ['etc'], force: true })
    expect((await treeOf(directory))['app.conf']).toBe('a = 1\n')
    expect(component.calls.filter((call) => call.startsWith('restore'))).toEqual(['restore dry', 'restore by force'])
  })

  test('is refused where it is not configured, or is of another kind here', async () => {
    const { store, component } = await archived()
    expect(await rejectionOf(restore(store, componentsContext([]), { only: ['etc'] }))).toMatchObject({ code: 'COMPONENT_REFUSED', hint: expect.stringContaining('--components-target') })
    const other: Component = { ...component, kind: 'grafana' }
    expect(await rejectionOf(restore(store, componentsContext([other]), { only: ['etc'] }))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining('of the kind grafana here') })
  })

  test('is given the parts that were asked for', async () => {
    const { store, component } = await archived()
    await restore(store, componentsContext([component]), { only: ['etc'], parts: ['ops', 'dev'] })
    expect(component.calls.at(-1)).toBe('restore ops,dev')
  })

  test('that fails does not stop the others', async () => {
    const { store, component } = await archived()
    const other = directoryComponent('other', await etc({ x: 'y' }))
    const both = componentsContext([component, other])
    await makeArchive(store, both)
    component.failWith = 'no permission'
    await writeTree(await etc(), {})
    const { reports } = await restore(store, both, { all: true })
    expect(reports).toMatchObject([{ component: 'etc', ok: false, error: { code: 'COMPONENT_FAILED', message: 'no permission' } }, { component: 'other', ok: true }])
  })
})

describe('everything at once', () => {
  test('restores what is configured, in its order, and names what is missing on either side', async () => {
    const { store, component } = await archived()
    const gone = directoryComponent('gone', await etc())
    await makeArchive(store, componentsContext([component, gone]))
    const fresh = directoryComponent('fresh', await etc())
    const { reports, warnings } = await restore(store, componentsContext([fresh, component]), { all: true })
    expect(reports.map((report) => report.component)).toEqual(['etc'])
    expect(warnings).toEqual(['fresh is in no recovery point: it was not restored', expect.stringContaining('gone is in the recovery point and not configured here')])
  })
})

describe('files below a directory of their own', () => {
  test('are put there, checked, and nothing is installed; components that are not configured too', async () => {
    const { store, directory, component } = await archived()
    const foreign = directoryComponent('foreign', await etc({ x: 'y' }))
    await makeArchive(store, componentsContext([component, foreign]))
    await writeTree(directory, { 'app.conf': 'of today' })
    component.broken = true
    const target = join(await temporaryDirectory(), 'look', 'here')
    const { reports } = await restore(store, componentsContext([component]), { all: true, componentsTarget: target })
    expect(reports).toMatchObject([{ component: 'etc', ok: true, findings: [{ detail: 'they are broken' }] }, { component: 'foreign', ok: true }])
    expect(await treeOf(target)).toEqual({ 'etc/app.conf': 'a = 1\n', 'etc/rules/one.yml': 'groups: []\n', 'foreign/x': 'y' })
    expect((await stat(join(target, 'etc'))).mode & 0o777).toBe(0o700)
    expect((await treeOf(directory))['app.conf']).toBe('of today')
    expect(component.calls.some((call) => call.startsWith('restore'))).toBe(false)
    expect((await readdir(target)).sort()).toEqual(['etc', 'foreign'])
  })

  test('are put over nothing that is there, and a dry run makes no directory', async () => {
    const { store, component } = await archived()
    const target = await temporaryDirectory()
    await restore(store, componentsContext([component]), { only: ['etc'], componentsTarget: join(target, 'new'), dryRun: true })
    expect(await readdir(target)).toEqual([])
    await mkdir(join(target, 'etc'))
    await writeFile(join(target, 'etc', 'mine'), 'as it was')
    expect(await rejectionOf(restore(store, componentsContext([component]), { only: ['etc'], componentsTarget: target }))).toMatchObject({ code: 'COMPONENT_REFUSED' })
    expect(await treeOf(target)).toEqual({ 'etc/mine': 'as it was' })
  })
})

describe('before the first component is touched', () => {
  test('all of them have been fetched and checked: one that is damaged stops all', async () => {
    const { store, directory, component } = await archived()
    const other = directoryComponent('other', await etc())
    await makeArchive(store, componentsContext([component, other]))
    const key = (await keysOf(store)).find((candidate) => candidate.includes('/archives/other/')) ?? ''
    await store.put(key, bytesBody(Buffer.from('x'.repeat(300))))
    await writeTree(directory, { 'app.conf': 'of today' })
    expect(await rejectionOf(restore(store, componentsContext([component, other]), { all: true }))).toMatchObject({ code: 'DAMAGED', details: { key } })
    expect((await treeOf(directory))['app.conf']).toBe('of today')
    expect(component.calls.some((call) => call.startsWith('restore'))).toBe(false)
  })

  test('a copy in another repository stands in for a damaged or missing one, and is named', async () => {
    const [near, far] = [await knownRepository(), await knownRepository()]
    const stores = [{ name: 'near', store: near }, { name: 'far', store: far }]
    const directory = await etc()
    const component = directoryComponent('etc', directory)
    await makeArchive(stores, componentsContext([component]))
    const key = (await keysOf(near)).find((candidate) => candidate.includes('/archives/')) ?? ''
    for (const harm of [() => near.put(key, bytesBody(Buffer.from('garbage'))), () => near.delete([key])]) {
      await harm()
      await rm(directory, { recursive: true })
      const { reports, repaired } = await restore(stores, componentsContext([component]), { only: ['etc'] })
      expect(reports).toMatchObject([{ ok: true, repository: 'far' }])
      expect(repaired).toMatchObject([{ key, from: 'far' }])
      expect(await treeOf(directory)).toEqual(files)
    }
  })

  test('an encrypted one has been opened: without its key nothing happens, and the answer says which key', async () => {
    const store = await knownRepository()
    const directory = await etc()
    const component = directoryComponent('etc', directory)
    const { identity, recipient } = await newKeyPair()
    await makeArchive(store, componentsContext([component], { encryption: ageWith([recipient]) }))
    await rm(directory, { recursive: true })
    expect(await rejectionOf(restore(store, componentsContext([component], { opening: ageWith([]) }), { only: ['etc'] }))).toMatchObject({ code: 'KEY_MISSING', message: expect.stringContaining('the archive of etc cannot be opened: it is sealed for') })
    expect(await rejectionOf(restore(store, componentsContext([component]), { only: ['etc'] }))).toMatchObject({ code: 'KEY_MISSING', message: expect.stringContaining(recipient) })
    expect(await treeOf(directory)).toEqual({})
    const identityFile = await writeIdentityFile(await temporaryDirectory(), identity)
    await restore(store, componentsContext([component], { opening: ageWith([], { identityFile }) }), { only: ['etc'] })
    expect(await treeOf(directory)).toEqual(files)
  })

  test('nothing of it stays in the clear afterwards', async () => {
    const { store, component } = await archived()
    const scratchParent = await temporaryDirectory()
    await restore(store, componentsContext([component], { scratchParent }), { only: ['etc'] })
    component.failWith = 'no'
    await restore(store, componentsContext([component], { scratchParent }), { only: ['etc'] })
    expect(await readdir(scratchParent)).toEqual([])
    expect(tmpdir()).not.toBe(scratchParent)
  })
})
