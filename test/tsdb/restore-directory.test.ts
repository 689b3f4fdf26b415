import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { type IncompleteRestore, clearLeftovers, incompleteName, placeRestore, readIncomplete, restoredName, stagedBytes, stagingName, withScratchDirectory, writeIncomplete } from '../../src/tsdb/restore-directory.ts'
import { rejectionOf } from '../support/operations.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const ulids = ['01M7YCE169RB1988FWHHS8E9RH', '01M7YCE1D6GAMXW561924542RW']
const replacedTo = '.prom-dr-replaced-20261121T060000Z'
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

describe('a directory that is being restored', () => {
  let target: string

  beforeEach(async () => {
    target = await temporaryDirectory()
  })

  const note = (more: Partial<IncompleteRestore> = {}): IncompleteRestore => ({ version: 1, instance: 'prom-a', recoveryPoint: '20261121T060000Z-aaaaaaaa', names: ulids, replacedTo: null, phase: 'staging', startedAt: '2026-11-21T06:00:00Z', ...more })
  const place = (of: IncompleteRestore) => placeRestore(target, { note: of, names: of.names, owner, restored: () => ({ version: 1 }) })

  async function put(path: string, text: string): Promise<void> {
    await mkdir(join(target, path, '..'), { recursive: true })
    await writeFile(join(target, path), text, { mode: 0o600 })
  }

  async function stage(names: readonly string[]): Promise<void> {
    for (const name of names) await put(`${stagingName}/${name}/meta.json`, `new ${name}`)
  }

  it('ends with what was staged, readable for the server, and a note of what it was', async () => {
    await stage(ulids)
    expect(await stagedBytes(target)).toBe(2 * 'new 01M7YCE169RB1988FWHHS8E9RH'.length)
    await writeIncomplete(target, note())
    expect(await place(note())).toEqual({ replacedTo: null })
    expect((await readdir(target)).sort()).toEqual([restoredName, ...ulids])
    expect((await stat(join(target, ulids[0] ?? ''))).mode & 0o777).toBe(0o755)
    expect((await stat(join(target, ulids[0] ?? '', 'meta.json'))).mode & 0o777).toBe(0o644)
    expect(await readIncomplete(target)).toBeUndefined()
  })

  it('may be one of a server that had nothing yet', async () => {
    await mkdir(join(target, stagingName))
    await place(note({ names: [], replacedTo }))
    expect(await readdir(target)).toEqual([restoredName])
  })

  it('is finished also when the crash came after staging was gone, and never moves its own content aside', async () => {
    await stage(ulids)
    await place(note())
    await writeIncomplete(target, note({ phase: 'placing', replacedTo }))
    expect(await place(note({ phase: 'placing', replacedTo }))).toEqual({ replacedTo: null })
    expect((await readdir(target)).sort()).toEqual([restoredName, ...ulids])
  })

  it('keeps old content of the same name beside what was moved aside before, and writes over neither', async () => {
    await put(`${replacedTo}/wal/00000000`, 'first')
    await put('wal/00000000', 'second')
    await put(`${ulids[0]}/meta.json`, 'old')
    await put(`.prom-dr-replaced-2020/x`, 'of an earlier restore')
    await stage(ulids)
    expect(await place(note({ replacedTo }))).toEqual({ replacedTo })
    expect(await readFile(join(target, replacedTo, 'wal/00000000'), 'utf8')).toBe('first')
    expect(await readFile(join(target, replacedTo, 'wal.2/00000000'), 'utf8')).toBe('second')
    expect(await readFile(join(target, replacedTo, `${ulids[0]}/meta.json`), 'utf8')).toBe('old')
    expect(await readFile(join(target, `${ulids[0]}/meta.json`), 'utf8')).toBe(`new ${ulids[0]}`)
    expect((await readdir(target)).sort()).toEqual([replacedTo, '.prom-dr-replaced-2020', restoredName, ...ulids].sort())
  })

  it('fails when a name is neither staged nor in place', async () => {
    await stage(ulids.slice(1))
    expect(await rejectionOf(place(note({ phase: 'placing' })))).toMatchObject({ code: 'DATA_DIR_UNREADABLE' })
    expect(await readdir(target)).toContain(incompleteName)
  })

  it('believes no note that names other places', async () => {
    for (const bad of [{ names: ['../../etc'] }, { names: ['queries.active'] }, { replacedTo: '../aside' }, { replacedTo: '.prom-dr-replaced-../../x' }, { phase: 'done' }]) {
      await writeFile(join(target, incompleteName), JSON.stringify({ ...note(), ...bad }))
      expect(await rejectionOf(readIncomplete(target)), JSON.stringify(bad)).toMatchObject({ code: 'PREFLIGHT_REFUSED' })
    }
    await writeFile(join(target, incompleteName), JSON.stringify(note({ names: ['wbl', 'wal', ...ulids], replacedTo })))
    expect(await readIncomplete(target)).toMatchObject({ replacedTo })
  })

  it('loses what other runs left: clones always, staging when it is of another restore', async () => {
    await put('.prom-dr-clone-1234abcd/wal/00000000', 'x')
    await stage(ulids)
    await put(`${replacedTo}/precious`, 'x')
    await clearLeftovers(target, { keepStaging: true })
    expect((await readdir(target)).sort()).toEqual([replacedTo, stagingName].sort())
    await clearLeftovers(target, { keepStaging: false })
    expect(await readdir(target)).toEqual([replacedTo])
  })

  it('has no scratch directory where there is no place for one, and says so', async () => {
    const parent = join(target, 'missing')
    expect(await rejectionOf(withScratchDirectory(parent, async () => undefined))).toMatchObject({ code: 'DATA_DIR_UNREADABLE', message: expect.stringContaining(parent) })
  })
})
