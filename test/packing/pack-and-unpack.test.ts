import { execFile } from 'node:child_process'
import { chmod, lstat, mkdir, readFile, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { collidingPath, isArchivePath } from '../../src/domain/archive.ts'
import { packDirectory } from '../../src/packing/pack-directory.ts'
import { readLocalFile, unpackArchive } from '../../src/packing/unpack-archive.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const signal = new AbortController().signal
const run = promisify(execFile)

async function fill(directory: string, files: Record<string, string | Buffer>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), content)
  }
}

async function contentOf(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name)).sort()
  return Object.fromEntries(await Promise.all(files.map(async (path) => [path.slice(directory.length + 1), await readFile(path, 'latin1')] as const)))
}

const long = `${'deep/'.repeat(60)}${'n'.repeat(200)}.yml`
const sample = { 'prometheus.yml': 'global: {}\n', 'rules/a.yml': '', 'rules/größe 日本.yml': 'x'.repeat(513), [long]: 'far', 'bin/blob': Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * 7919) % 256)) }

describe('a packed directory', () => {
  test('comes back as it was: names, bytes and modes', async () => {
    const [source, target, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory(), temporaryDirectory()])
    await fill(source, sample)
    await chmod(join(source, 'rules/a.yml'), 0o600)
    await chmod(join(source, 'bin/blob'), 0o755)
    const packed = await packDirectory(source, { path: join(scratch, 'a.tar.gz'), signal })
    await unpackArchive(readLocalFile(packed.file.path), { archive: { component: 'files', ...packed }, into: target, signal })
    expect(await contentOf(target)).toEqual(await contentOf(source))
    expect(Object.keys(await contentOf(target)).sort()).toEqual(Object.keys(sample).sort())
    expect((await stat(join(target, 'rules/a.yml'))).mode & 0o7777).toBe(0o600)
    expect((await stat(join(target, 'bin/blob'))).mode & 0o7777).toBe(0o755)
    expect((await stat(packed.file.path)).mode & 0o777).toBe(0o600)
  })

  test('is the same tar whenever it is packed, and another where a byte, a name or a mode differs', async () => {
    const [first, second, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory(), temporaryDirectory()])
    await fill(first, sample)
    await fill(second, Object.fromEntries(Object.entries(sample).reverse()))
    await utimes(join(second, 'prometheus.yml'), 1, 1)
    let number = 0
    const digest = async (directory: string) => (await packDirectory(directory, { path: join(scratch, String((number += 1))), signal })).contentSha256
    const expected = await digest(first)
    expect(await digest(second)).toBe(expected)
    await chmod(join(second, 'prometheus.yml'), 0o600)
    expect(await digest(second)).not.toBe(expected)
    await chmod(join(second, 'prometheus.yml'), 0o644)
    await writeFile(join(second, 'prometheus.yml'), 'global: {}\n ')
    expect(await digest(second)).not.toBe(expected)
    await writeFile(join(second, 'prometheus.yml'), 'global: {}\n')
    expect(await digest(second)).toBe(expected)
  })

  test('is unpacked by the tar of the system, without complaint', async () => {
    const [source, target, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory(), temporaryDirectory()])
    await fill(source, sample)
    const { file } = await packDirectory(source, { path: join(scratch, 'a.tar.gz'), signal })
    const { stderr } = await run('tar', ['-xzf', file.path, '-C', target])
    expect(stderr).toBe('')
    expect(await contentOf(target)).toEqual(await contentOf(source))
  })

  test('of no file at all is an archive too', async () => {
    const [source, target, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory(), temporaryDirectory()])
    const packed = await packDirectory(source, { path: join(scratch, 'a.tar.gz'), signal })
    await unpackArchive(readLocalFile(packed.file.path), { archive: { component: 'files', ...packed }, into: target, signal })
    expect(await readdir(target)).toEqual([])
  })

  test.each([
    ['a symbolic link', (path: string) => symlink('/etc/passwd', path)],
    ['a pipe', (path: string) => run('mkfifo', [path])],
  ])('may not hold %s', async (_, make) => {
    const [source, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory()])
    await make(join(source, 'odd'))
    await expect(packDirectory(source, { path: join(scratch, 'a.tar.gz'), signal })).rejects.toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringContaining('odd') })
  })

  test('may not hold a name that is no UTF-8 or has a line break', async () => {
    for (const name of [Buffer.from([0x61, 0xff]), Buffer.from('a\nb')]) {
      const [source, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory()])
      await writeFile(Buffer.concat([Buffer.from(`${source}/`), name]), 'x')
      await expect(packDirectory(source, { path: join(scratch, 'a.tar.gz'), signal })).rejects.toMatchObject({ code: 'COMPONENT_FAILED' })
    }
  })

  test('leaves nothing behind when it is interrupted', async () => {
    const [source, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory()])
    await fill(source, sample)
    const reason = new Error('stop')
    await expect(packDirectory(source, { path: join(scratch, 'a.tar.gz'), signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(await readdir(scratch)).toEqual([])
  })

  test('never overwrites a file, nor follows a link to one', async () => {
    const [source, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory()])
    await writeFile(join(scratch, 'victim'), 'as it was')
    await symlink(join(scratch, 'victim'), join(scratch, 'a.tar.gz'))
    await expect(packDirectory(source, { path: join(scratch, 'a.tar.gz'), signal })).rejects.toMatchObject({ code: 'FILE_SYSTEM' })
    expect(await readFile(join(scratch, 'victim'), 'utf8')).toBe('as it was')
    expect((await lstat(join(scratch, 'a.tar.gz'))).isSymbolicLink()).toBe(true)
  })
})

test('whatever plain files there are, they come back', async () => {
  const segment = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 80 }).filter((name) => isArchivePath(name) && !name.includes('/'))
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/')).filter(isArchivePath)
  const trees = fc.dictionary(path, fc.uint8Array({ maxLength: 2_000 }), { maxKeys: 8 }).filter((tree) => collidingPath(Object.keys(tree)) === undefined)
  await fc.assert(fc.asyncProperty(trees, async (tree) => {
    const [source, target, scratch] = await Promise.all([temporaryDirectory(), temporaryDirectory(), temporaryDirectory()])
    await fill(source, Object.fromEntries(Object.entries(tree).map(([name, bytes]) => [name, Buffer.from(bytes)])))
    const packed = await packDirectory(source, { path: join(scratch, 'a'), signal })
    expect(packed.files.map((file) => file.path).sort()).toEqual(Object.keys(tree).sort())
    await unpackArchive(readLocalFile(packed.file.path), { archive: { component: 'files', ...packed }, into: target, signal })
    expect(await contentOf(target)).toEqual(await contentOf(source))
  }), { numRuns: 40 })
})
