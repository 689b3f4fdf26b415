import { chmod, chown, lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Placement } from '../../../src/components/placing/placement.ts'
import { type PutRequest, putInPlace } from '../../../src/components/placing/put-in-place.ts'
import { readFiles, writeFiles } from '../../support/configuration-files.ts'
import { rejectionOf } from '../../support/operations.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const now = new Date('2026-11-21T12:34:56.789Z')
const asideName = '.prom-dr-replaced-20261121T123456Z'
const isRoot = process.getuid?.() === 0

interface Place {
  root: string
  etc: string
  request(changes?: Partial<PutRequest>): PutRequest
}

async function place(present: Record<string, string>): Promise<Place> {
  const root = await temporaryDirectory()
  const etc = join(root, 'etc')
  await mkdir(etc)
  await writeFiles(root, { 'new/rules/a.yml': 'new a', 'new/main.yml': 'new main' })
  await writeFiles(etc, present)
  const placement = (path: string): Placement => ({ source: join(root, 'new', path), destination: join(etc, path), owner: 'root:root' })
  return {
    root, etc,
    request: (changes) => ({ placements: [placement('rules/a.yml'), placement('main.yml')], obsolete: [], aside: (path) => ({ directory: etc, path: path.slice(etc.length + 1) }), attributes: 'here', now, dryRun: false, signal: new AbortController().signal, ...changes }),
  }
}

describe('putInPlace', () => {
  it('writes what is new, replaces what differs, and leaves alone what is equal', async () => {
    const { etc, request } = await place({ 'rules/a.yml': 'old a', 'main.yml': 'new main' })
    const { actions, movedAside } = await putInPlace(request())
    expect(actions).toEqual([`replaced ${join(etc, 'rules/a.yml')}`])
    expect(movedAside).toEqual([{ from: join(etc, 'rules/a.yml'), to: join(etc, asideName, 'rules/a.yml') }])
    expect(await readFiles(etc, { aside: true })).toEqual({ [`${asideName}/rules/a.yml`]: 'old a', 'main.yml': 'new main', 'rules/a.yml': 'new a' })
    expect(await putInPlace(request())).toEqual({ actions: [], movedAside: [], warnings: [] })
  })

  it('moves aside what is to be there no more, and keeps two restores of one second apart', async () => {
    const { etc, request } = await place({ 'gone.yml': 'gone', [`${asideName}/gone.yml`]: 'of another restore' })
    const { movedAside } = await putInPlace(request({ placements: [], obsolete: [join(etc, 'gone.yml')] }))
    expect(movedAside).toEqual([{ from: join(etc, 'gone.yml'), to: join(etc, `${asideName}-1`, 'gone.yml') }])
    expect(await readFiles(etc, { aside: true })).toEqual({ [`${asideName}/gone.yml`]: 'of another restore', [`${asideName}-1/gone.yml`]: 'gone' })
  })

  it('says what it would do, and does nothing', async () => {
    const { root, etc, request } = await place({ 'main.yml': 'old', 'gone.yml': '' })
    const before = await readFiles(root, { aside: true })
    const { actions } = await putInPlace(request({ obsolete: [join(etc, 'gone.yml')], dryRun: true }))
    expect(actions).toEqual([`would write ${join(etc, 'rules/a.yml')}`, `would replace ${join(etc, 'main.yml')}`, `would move aside ${join(etc, 'gone.yml')}, which the archive does not have`])
    expect(await readFiles(root, { aside: true })).toEqual(before)
  })

  it('keeps mode and owner of a file that is there, and takes those of the archive for a new one', async (context) => {
    if (!isRoot) context.skip('needs root')
    const { root, etc, request } = await place({ 'main.yml': 'old' })
    await chmod(join(etc, 'main.yml'), 0o640)
    await chown(join(etc, 'main.yml'), 65534, 65534)
    await chmod(join(root, 'new/rules/a.yml'), 0o604)
    const { placements } = request()
    const { warnings } = await putInPlace(request({ placements: placements.map((one) => ({ ...one, owner: 'nobody:nogroup' })) }))
    expect(warnings).toEqual([])
    for (const [path, mode] of [['main.yml', 0o640], ['rules/a.yml', 0o604], [`${asideName}/main.yml`, 0o640]] as const) {
      const found = await stat(join(etc, path))
      expect([path, found.mode & 0o777, found.uid]).toEqual([path, mode, 65534])
    }
    expect((await stat(join(etc, asideName))).mode & 0o777).toBe(0o700)
  })

  it('gives a file of an unknown owner to whom its directory belongs, and says so', async (context) => {
    if (!isRoot) context.skip('needs root')
    const { etc, request } = await place({})
    await chown(etc, 65534, 65534)
    const { placements } = request()
    const { warnings } = await putInPlace(request({ placements: placements.map((one) => ({ ...one, owner: 'no-such-user:no-such-group' })) }))
    expect(warnings).toHaveLength(2)
    expect((await stat(join(etc, 'rules/a.yml'))).uid).toBe(65534)
  })

  it('gives what it replaces the owner and mode of the archive where those count, though the content is equal', async (context) => {
    if (!isRoot) context.skip('needs root')
    const { root, etc, request } = await place({ 'rules/a.yml': 'old a', 'main.yml': 'new main' })
    await chmod(join(root, 'new/main.yml'), 0o640)
    const { placements } = request()
    const { actions } = await putInPlace(request({ attributes: 'archived', placements: placements.map((one) => ({ ...one, owner: 'nobody:nogroup' })) }))
    expect(actions).toEqual(placements.map(({ destination }) => `replaced ${destination}`))
    const found = await stat(join(etc, 'main.yml'))
    expect([found.mode & 0o777, found.uid]).toEqual([0o640, 65534])
  })

  it('puts links in their places, and leaves alone those that are right', async () => {
    const { etc, request } = await place({ 'main.yml': 'old' })
    const links = ['main.yml', 'rules/b.yml'].map((path) => ({ source: '', destination: join(etc, path), owner: undefined, linkTo: 'a.yml' }))
    const { actions, movedAside } = await putInPlace(request({ placements: links }))
    expect(actions).toEqual([`replaced ${join(etc, 'main.yml')}`, `wrote ${join(etc, 'rules/b.yml')}`])
    expect(await Promise.all(links.map(({ destination }) => readlink(destination)))).toEqual(['a.yml', 'a.yml'])
    expect(await readFile(movedAside[0]!.to, 'utf8')).toBe('old')
    expect(await putInPlace(request({ placements: links }))).toEqual({ actions: [], movedAside: [], warnings: [] })
  })

  it('copies aside what lies on another disk', async (context) => {
    const { etc, request } = await place({ 'main.yml': 'old main' })
    const elsewhere = await mkdtemp('/dev/shm/prom-dr-test-')
    onTestFinished(() => rm(elsewhere, { recursive: true, force: true }))
    if ((await stat(elsewhere)).dev === (await stat(etc)).dev) context.skip('needs two file systems')
    const { movedAside } = await putInPlace(request({ aside: (path) => ({ directory: elsewhere, path: basename(path) }) }))
    expect(movedAside).toEqual([{ from: join(etc, 'main.yml'), to: join(elsewhere, asideName, 'main.yml') }])
    expect([await readFile(join(etc, 'main.yml'), 'utf8'), await readFile(movedAside[0]!.to, 'utf8')]).toEqual(['new main', 'old main'])
  })

  it('replaces a link by the file, and keeps the link aside', async () => {
    const { root, etc, request } = await place({})
    await writeFile(join(root, 'linked.yml'), 'linked')
    await symlink('../linked.yml', join(etc, 'main.yml'))
    await putInPlace(request())
    expect((await lstat(join(etc, 'main.yml'))).isFile()).toBe(true)
    expect(await readFile(join(root, 'linked.yml'), 'utf8')).toBe('linked')
    expect(await readlink(join(etc, asideName, 'main.yml'))).toBe(join(root, 'linked.yml'))
  })

  it('refuses a directory in the way before it touches anything', async () => {
    const { root, etc, request } = await place({ 'main.yml/x': '', 'rules/a.yml': 'old' })
    const before = await readFiles(root, { aside: true })
    expect(await rejectionOf(putInPlace(request()))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining(join(etc, 'main.yml')) })
    expect(await readFiles(root, { aside: true })).toEqual(before)
  })

  it('changes nothing when one of the new files cannot be written', async () => {
    const { root, etc, request } = await place({ 'rules/a.yml': 'old', 'main.yml': 'old' })
    // Its name fits, but not with what is put behind it while it is written.
    const last: Placement = { source: join(root, 'new/main.yml'), destination: join(etc, `${'x'.repeat(250)}.yml`), owner: 'root:root' }
    const error = await rejectionOf(putInPlace({ ...request(), placements: [...request().placements, last] }))
    expect(error).toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/ENAMETOOLONG/) })
    expect(await readFiles(etc)).toEqual({ 'rules/a.yml': 'old', 'main.yml': 'old' })
  })

  it('completes what a run that was killed between two files began, and loses nothing that was there', async () => {
    const { etc, request } = await place({ 'rules/a.yml': 'old a', 'main.yml': 'old main', 'gone.yml': 'gone' })
    const { placements } = request()
    await putInPlace(request({ placements: placements.slice(0, 1) }))
    await putInPlace(request({ obsolete: [join(etc, 'gone.yml')] }))
    const found = await readFiles(etc, { aside: true })
    expect(Object.values(found).sort()).toEqual(['gone', 'new a', 'new main', 'old a', 'old main'])
    expect([found['rules/a.yml'], found['main.yml'], found['gone.yml']]).toEqual(['new a', 'new main', undefined])
  })

  it('goes over what a killed run left beside the places', async () => {
    const { etc, request } = await place({ 'rules/a.yml': 'old', 'main.yml': 'old', '.main.yml.prom-dr-new': 'half' })
    await symlink('/etc/passwd', join(etc, 'rules/.a.yml.prom-dr-new'))
    await putInPlace(request())
    expect(await readFiles(etc)).toEqual({ 'rules/a.yml': 'new a', 'main.yml': 'new main' })
    expect((await readdir(etc)).filter((name) => name.endsWith('.prom-dr-new'))).toEqual([])
  })
})
