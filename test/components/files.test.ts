import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Component } from '../../src/components/component.ts'
import { createFilesComponent } from '../../src/components/files.ts'
import { layoutFile, layoutText } from '../../src/components/tree-layout.ts'
import { collecting, readTree, restoring } from '../support/component-directories.ts'
import { writeFiles } from '../support/configuration-files.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const now = () => new Date('2026-11-21T03:00:00Z')

/** A directory with files, and an empty one to collect into. */
async function arrange(files: Record<string, string>): Promise<{ live: string; into: string; component: (...paths: string[]) => Component }> {
  const directory = await temporaryDirectory()
  const [live, into] = [join(directory, 'live'), join(directory, 'collected')]
  await Promise.all([mkdir(live), mkdir(into)])
  await writeFiles(live, files)
  return { live, into, component: (...paths) => createFilesComponent({ name: 'extra', paths: paths.map((path) => join(live, path)), now }) }
}

/** A directory `conf` with these files, that was collected. */
async function collected(present: Record<string, string>): Promise<{ live: string; into: string; files: Component }> {
  const { live, into, component } = await arrange(Object.fromEntries(Object.entries(present).map(([path, text]) => [join('conf', path), text])))
  const files = component('conf')
  await files.collect(into, collecting())
  return { live, into, files }
}

describe('files', () => {
  it('come back below their absolute paths, directories with all that is below them', async () => {
    const { live, into, component } = await arrange({ 'conf/a.cfg': 'a', 'conf/d/.hidden': 'b', 'one.txt': 'c', 'other.txt': 'd' })
    const files = component('conf', 'one.txt')
    expect(await files.collect(into, collecting())).toEqual({ leftOut: [], warnings: [] })
    const collected = Object.keys(await readTree(into)).filter((path) => path !== layoutFile)
    expect(collected.map((path) => `/${path}`)).toEqual([join(live, 'conf/a.cfg'), join(live, 'conf/d/.hidden'), join(live, 'one.txt')])
    await rm(join(live, 'conf'), { recursive: true })
    await writeFile(join(live, 'one.txt'), 'changed')
    const restored = await files.restore(into, restoring())
    expect(await readTree(live)).toMatchObject({ 'conf/a.cfg': 'a', 'conf/d/.hidden': 'b', 'one.txt': 'c', 'other.txt': 'd' })
    expect(restored.movedAside).toEqual([{ from: join(live, 'one.txt'), to: join(live, '.prom-dr-replaced-20261121T030000Z/one.txt') }])
    expect(await readFile(restored.movedAside[0]!.to, 'utf8')).toBe('changed')
  })

  it('are left alone by a second restore, and collected as the same bytes by a second run', async () => {
    const { live, into, files } = await collected({ 'a.cfg': 'a', 'b.cfg': 'b' })
    await writeFile(join(live, 'conf/a.cfg'), 'changed')
    expect((await files.restore(into, restoring())).actions).toHaveLength(1)
    expect(await files.restore(into, restoring())).toEqual({ actions: [], movedAside: [], toReenter: [], warnings: [] })
    const again = join(into, '..', 'again')
    await mkdir(again)
    await files.collect(again, collecting())
    expect(await readTree(again)).toEqual(await readTree(into))
  })

  it('are found by patterns, and a pattern that matches nothing is told of', async () => {
    const { into, live, component } = await arrange({ 'conf/a.cfg': 'a', 'conf/b.txt': 'b', 'conf/deep/c.cfg': 'c' })
    const { warnings } = await component('conf/*.cfg', 'nothing/*').collect(into, collecting())
    expect(Object.keys(await readTree(into)).filter((path) => path !== layoutFile)).toEqual([join(live, 'conf/a.cfg').slice(1)])
    expect(warnings).toEqual([`${join(live, 'nothing/*')}: there is nothing`])
  })

  it('fail to be collected where nothing is there at all', async () => {
    const { into, component } = await arrange({})
    await expect(component('gone').collect(into, collecting())).rejects.toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringContaining('gone') })
  })

  it('stay links where they lead to what is named too, and become files where they lead elsewhere', async () => {
    const { live, into, component } = await arrange({ 'conf/available/site': 'site', 'elsewhere/cert': 'cert' })
    await mkdir(join(live, 'conf/enabled'))
    await symlink('../available/site', join(live, 'conf/enabled/site'))
    await symlink(join(live, 'elsewhere/cert'), join(live, 'conf/cert'))
    await symlink('/nowhere', join(live, 'conf/broken'))
    const files = component('conf')
    expect((await files.collect(into, collecting())).leftOut).toEqual([{ path: join(live, 'conf/broken'), reason: 'is a link to /nowhere, which is not there' }])
    await rm(join(live, 'conf'), { recursive: true })
    await files.restore(into, restoring())
    expect(await readTree(join(live, 'conf'))).toEqual({ 'available/site': 'site', cert: 'cert', 'enabled/site': '-> ../available/site' })
  })

  it('with private keys are in the archive only where it is encrypted', async () => {
    const { live, into, component } = await arrange({ 'conf/a.cfg': 'a', 'conf/tls.pem': 'x\n-----BEGIN EC PRIVATE KEY-----\ny' })
    expect((await component('conf').collect(into, collecting())).leftOut).toEqual([{ path: join(live, 'conf/tls.pem'), reason: expect.stringContaining('private key') }])
    expect(Object.keys(await readTree(into))).not.toContain(join(live, 'conf/tls.pem').slice(1))
    expect((await component('conf').collect(into, collecting({ secrets: true }))).leftOut).toEqual([])
    expect(Object.keys(await readTree(into))).toContain(join(live, 'conf/tls.pem').slice(1))
  })

  it('keep their permissions', async () => {
    const { live, into, component } = await arrange({ 'conf/run.sh': '#!/bin/sh' })
    const { chmod } = await import('node:fs/promises')
    await chmod(join(live, 'conf/run.sh'), 0o750)
    const files = component('conf')
    await files.collect(into, collecting())
    await rename(join(live, 'conf'), join(live, 'away'))
    await files.restore(into, restoring())
    expect((await stat(join(live, 'conf/run.sh'))).mode & 0o777).toBe(0o750)
  })

  it('are only told of by a dry run, and what is there beside them is left alone', async () => {
    const { live, into, files } = await collected({ 'a.cfg': 'a' })
    await writeFiles(live, { 'conf/a.cfg': 'changed', 'conf/new.cfg': 'new' })
    const restored = await files.restore(into, restoring({ dryRun: true }))
    expect(restored.actions).toEqual([`would replace ${join(live, 'conf/a.cfg')}`])
    expect(restored.warnings).toEqual([`${join(live, 'conf/new.cfg')} is not in the archive; it was left alone`])
    expect(await readTree(join(live, 'conf'))).toEqual({ 'a.cfg': 'changed', 'new.cfg': 'new' })
  })
})

describe('a restore of files', () => {
  it('touches nothing where a directory is in the way of one of them', async () => {
    const { live, into, files } = await collected({ 'a.cfg': 'a', 'b.cfg': 'b' })
    await writeFile(join(live, 'conf/a.cfg'), 'changed')
    await rm(join(live, 'conf/b.cfg'))
    await mkdir(join(live, 'conf/b.cfg'))
    await expect(files.restore(into, restoring())).rejects.toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining(join(live, 'conf/b.cfg')) })
    expect(await readTree(live)).toEqual({ 'conf/a.cfg': 'changed' })
  })

  it('loses nothing of what two in one second replaced', async () => {
    const { live, into, files } = await collected({ 'a.cfg': 'a' })
    for (const text of ['first', 'second']) {
      await writeFile(join(live, 'conf/a.cfg'), text)
      await files.restore(into, restoring())
    }
    expect(Object.values(await readTree(live)).sort()).toEqual(['a', 'first', 'second'])
  })

  it('is not archived by the next run: neither what it moved aside, nor what one that was killed left', async () => {
    const { live, into, component } = await arrange({ 'conf/a.cfg': 'a', 'conf/.a.cfg.prom-dr-new': 'half', 'conf/.prom-dr-replaced-20261120T030000Z/a.cfg': 'old' })
    await component('conf').collect(into, collecting())
    expect(Object.keys(await readTree(into)).filter((path) => path !== layoutFile)).toEqual([join(live, 'conf/a.cfg').slice(1)])
  })
})

describe('a hostile archive', () => {
  it.each([
    ['a file beside the configured paths', { file: '../evil', links: {} }],
    ['a link that leads out of them', { file: 'conf/a.cfg', links: { 'conf/link': '/etc/passwd' } }],
  ])('with %s is refused, and nothing is touched', async (_, { file, links }) => {
    const { live, into, component } = await arrange({ 'conf/a.cfg': 'mine' })
    const path = join(live, file).slice(1)
    await writeFiles(into, { [path]: 'theirs', [layoutFile]: layoutText({ owners: { [path]: 'root:root' }, links: Object.fromEntries(Object.entries(links).map(([name, target]) => [join(live, name).slice(1), target])) }) })
    await expect(component('conf').restore(into, restoring({ force: true }))).rejects.toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining('outside of the configured paths') })
    expect(await readTree(join(live, 'conf'))).toEqual({ 'a.cfg': 'mine' })
  })

  it.each(['conf/link', 'conf/link/a.cfg'])('that would write %s through a link of its own is damage, and nothing is touched', async (file) => {
    const { live, into, component } = await arrange({ 'conf/a.cfg': 'mine' })
    const path = join(live, file).slice(1)
    await writeFiles(into, { [path]: 'theirs', [layoutFile]: layoutText({ owners: { [path]: 'root:root' }, links: { [join(live, 'conf/link').slice(1)]: join(live, 'conf') } }) })
    await expect(component('conf').restore(into, restoring({ force: true }))).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(join(live, file)) })
    expect(await readTree(join(live, 'conf'))).toEqual({ 'a.cfg': 'mine' })
  })

  it('without a layout, or with a broken one, is damage', async () => {
    const { into, component } = await arrange({ 'conf/a.cfg': 'mine' })
    await expect(component('conf').restore(into, restoring())).rejects.toMatchObject({ code: 'DAMAGED' })
    await writeFile(join(into, layoutFile), '{"version": 1, "owners": 3}')
    await expect(component('conf').restore(into, restoring())).rejects.toMatchObject({ code: 'DAMAGED' })
  })
})
