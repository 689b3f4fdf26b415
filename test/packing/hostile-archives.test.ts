import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { unpackArchive } from '../../src/packing/unpack-archive.ts'
import { archiveOf, chunksOf, paxHeader, rawEntry, sha256, tarEnd } from '../support/tar-bytes.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const signal = new AbortController().signal
const good = { path: 'etc/app.conf', body: 'setting = 1\n' }
const goodEntry = rawEntry({ path: good.path }, good.body)

interface Attack {
  name: string
  tar: Buffer
  /** What the manifest claims; default: the good file alone. */
  files?: { path: string; body?: string; mode?: number }[]
}

/** What tar programs were tricked by; the advisories' numbers where they have some. */
const attacks: Attack[] = [
  { name: 'a path that leads out (CVE-2007-4559)', tar: rawEntry({ path: '../evil' }, 'x') },
  { name: 'a path that leads out after a harmless beginning (CVE-2016-6321)', tar: rawEntry({ path: 'etc/../../evil' }, 'x') },
  { name: 'an absolute path (CVE-2021-32804)', tar: rawEntry({ path: '/tmp/evil' }, 'x') },
  { name: 'an absolute path of many slashes (CVE-2021-32804)', tar: rawEntry({ path: '////tmp/evil' }, 'x') },
  { name: 'a path of a drive (CVE-2021-37713)', tar: rawEntry({ path: 'C:../evil' }, 'x') },
  { name: 'a path with a backslash (CVE-2021-37712)', tar: rawEntry({ path: '..\\evil' }, 'x') },
  { name: 'a path that leads out, in a pax header', tar: Buffer.concat([paxHeader({ path: '../evil' }), rawEntry({ path: good.path }, good.body)]) },
  { name: 'a symbolic link and a file through it (CVE-2021-32803)', tar: Buffer.concat([rawEntry({ path: 'etc', type: 'SymbolicLink', linkpath: '/tmp' }), goodEntry]) },
  { name: 'a directory, then a link in its place (CVE-2021-37701)', tar: Buffer.concat([rawEntry({ path: 'etc/', type: 'Directory' }), rawEntry({ path: 'etc', type: 'SymbolicLink', linkpath: '/tmp' }), goodEntry]) },
  { name: 'a hard link to a file outside (CVE-2018-20834)', tar: Buffer.concat([rawEntry({ path: good.path, type: 'Link', linkpath: '/etc/passwd' }), goodEntry]) },
  { name: 'a hard link to itself through a pax header', tar: Buffer.concat([paxHeader({ linkpath: '../../etc/shadow' }), rawEntry({ path: good.path, type: 'Link' })]) },
  { name: 'a device', tar: rawEntry({ path: good.path, type: 'BlockDevice', devmaj: 8, devmin: 0 }) },
  { name: 'a pipe', tar: rawEntry({ path: good.path, type: 'FIFO' }) },
  { name: 'a directory of many levels (CVE-2024-28863)', tar: rawEntry({ path: `${'a/'.repeat(45)}`, type: 'Directory' }) },
  { name: 'a global header that renames what follows', tar: Buffer.concat([paxHeader({ path: 'evil' }, 'GlobalExtendedHeader'), goodEntry]) },
  { name: 'a GNU long name', tar: Buffer.concat([rawEntry({ path: '././@LongLink', type: 'NextFileHasLongPath' }, '../evil\0'), goodEntry]) },
  { name: 'a file that hides in another by a false size (CVE-2025-62518)', tar: Buffer.concat([paxHeader({ size: '1024' }), rawEntry({ path: good.path }, good.body), rawEntry({ path: 'evil' }, 'x')]) },
  { name: 'two pax headers for one file', tar: Buffer.concat([paxHeader({ path: 'evil' }), paxHeader({ path: good.path }), goodEntry]) },
  { name: 'a file twice, the second with other bytes', tar: Buffer.concat([goodEntry, rawEntry({ path: good.path }, 'setting = 2\n')]) },
  { name: 'the same name in other letters', tar: Buffer.concat([goodEntry, rawEntry({ path: 'ETC/APP.CONF' }, good.body)]) },
  { name: 'the same name in another Unicode form (CVE-2026-23950)', tar: Buffer.concat([rawEntry({ path: 'e\u0301' }, 'a'), rawEntry({ path: '\u00e9' }, 'b')]), files: [{ path: 'e\u0301', body: 'a' }] },
  { name: 'a file that nobody listed', tar: Buffer.concat([goodEntry, rawEntry({ path: 'etc/other' }, 'x')]) },
  { name: 'a listed file that is not in it', tar: Buffer.alloc(0) },
  { name: 'a set-user-id program', tar: rawEntry({ path: good.path, mode: 0o4755 }, good.body) },
  { name: 'a set-user-id program that is listed as one', tar: rawEntry({ path: good.path, mode: 0o4755 }, good.body), files: [{ ...good, mode: 0o755 }] },
  { name: 'other bytes than were listed', tar: rawEntry({ path: good.path }, 'setting = 2\n') },
  { name: 'a longer file than was listed', tar: rawEntry({ path: good.path }, `${good.body}more`) },
  { name: 'a size beyond all numbers', tar: Buffer.concat([paxHeader({ size: '99999999999999999999' }), goodEntry]) },
  { name: 'a file that is a directory of another', tar: Buffer.concat([rawEntry({ path: 'a' }, 'x'), rawEntry({ path: 'a/b' }, 'y')]), files: [{ path: 'a', body: 'x' }, { path: 'a/b', body: 'y' }] },
  { name: 'a header with a wrong checksum', tar: Buffer.concat([goodEntry.subarray(0, 3), Buffer.from('X'), goodEntry.subarray(4)]) },
  { name: 'an enormous extended header', tar: Buffer.concat([rawEntry({ path: 'PaxHeader/x', type: 'ExtendedHeader' }, 'x'.repeat(70_000)), goodEntry]) },
  { name: 'an extended header at its end', tar: Buffer.concat([goodEntry, paxHeader({ path: 'x' })]) },
  { name: 'bytes after its end', tar: Buffer.concat([goodEntry, tarEnd, rawEntry({ path: 'evil' }, 'x')]) },
]

describe('an archive is refused that holds', () => {
  test.each(attacks)('$name', async ({ tar, files = [good] }) => {
    const outside = await temporaryDirectory()
    const into = join(outside, 'a', 'target')
    await mkdir(into, { recursive: true })
    await writeFile(join(outside, 'victim'), 'as it was')
    const { compressed, archive } = archiveOf(Buffer.concat([tar, tarEnd]), files)
    const failure = await unpackArchive(compressed, { archive, into, signal }).then(() => undefined, (error: unknown) => error as { code: string })
    expect(['DAMAGED', 'FILE_SYSTEM']).toContain(failure?.code)
    expect(await readdir(outside)).toEqual(['a', 'victim'])
    expect(await readdir(join(outside, 'a'))).toEqual(['target'])
    const left = await readdir(into, { recursive: true, withFileTypes: true })
    expect(left.filter((entry) => entry.isSymbolicLink())).toEqual([])
    for (const entry of left.filter((one) => one.isFile())) {
      const path = join(entry.parentPath, entry.name).slice(into.length + 1)
      const listed = files.find((file) => file.path === path)
      expect(sha256(await readFile(join(into, path)))).toBe(sha256(listed?.body ?? ''))
    }
    const again = archiveOf(Buffer.concat([tar, tarEnd]), files)
    // Read without writing, all that the tar itself shows is found too.
    if (failure?.code === 'DAMAGED') await expect(unpackArchive(again.compressed, { archive: again.archive, into: undefined, signal })).rejects.toMatchObject({ code: 'DAMAGED' })
  })

  test('a path that leads out, in a list that says so too', async () => {
    const { compressed, archive } = archiveOf(Buffer.concat([rawEntry({ path: '../evil' }, 'x'), tarEnd]), [{ path: '../evil', body: 'x' }])
    await expect(unpackArchive(compressed, { archive, into: await temporaryDirectory(), signal })).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('"../evil"') })
  })
})

describe('an archive is not read further than its list goes', () => {
  test('when it decompresses to very much more', async () => {
    const bomb = gzipSync(Buffer.concat([rawEntry({ path: 'zeros' }, Buffer.alloc(64 * 1024 * 1024)), tarEnd]))
    let taken = 0
    const counted = async function* () {
      for await (const piece of chunksOf(bomb, 4096)) {
        taken += piece.byteLength
        yield piece
      }
    }
    const { archive } = archiveOf(Buffer.alloc(0), [{ path: 'zeros', body: 'x' }])
    await expect(unpackArchive(counted(), { archive, into: undefined, signal })).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('size') })
    expect(taken).toBeLessThan(bomb.byteLength)
  })

  test('when zeros without end follow it', async () => {
    const { archive } = archiveOf(Buffer.alloc(0), [good])
    const endless = gzipSync(Buffer.concat([goodEntry, Buffer.alloc(8 * 1024 * 1024)]))
    await expect(unpackArchive(chunksOf(endless), { archive, into: undefined, signal })).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('follows its end') })
  })
})

describe('an archive is damaged', () => {
  const whole = gzipSync(Buffer.concat([goodEntry, tarEnd]))
  const { archive } = archiveOf(Buffer.concat([goodEntry, tarEnd]), [good])

  test('when it is cut off anywhere', async () => {
    for (let length = 0; length < whole.byteLength; length += 1) {
      await expect(unpackArchive(chunksOf(whole.subarray(0, length)), { archive, into: undefined, signal }), `${length} bytes`).rejects.toMatchObject({ code: 'DAMAGED' })
    }
    await unpackArchive(chunksOf(whole), { archive, into: undefined, signal })
  })

  test('when it is no gzip, or something follows the gzip', async () => {
    await expect(unpackArchive(chunksOf(Buffer.from('PK\x03\x04 something else')), { archive, into: undefined, signal })).rejects.toMatchObject({ code: 'DAMAGED' })
    await expect(unpackArchive(chunksOf(Buffer.concat([whole, gzipSync('more')])), { archive, into: undefined, signal })).rejects.toMatchObject({ code: 'DAMAGED' })
  })

  test('when its tar has another digest than its recovery point says, though every file is right', async () => {
    const other = gzipSync(Buffer.concat([rawEntry({ path: good.path, uid: 1000 }, good.body), tarEnd]))
    await expect(unpackArchive(chunksOf(other), { archive, into: undefined, signal })).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('its content has SHA-256') })
  })
})

test('an archive is not unpacked over what is there', async () => {
  const into = await temporaryDirectory()
  await writeFile(join(into, 'etc'), 'as it was')
  const { compressed, archive } = archiveOf(Buffer.concat([goodEntry, tarEnd]), [good])
  await expect(unpackArchive(compressed, { archive, into, signal })).rejects.toMatchObject({ code: 'FILE_SYSTEM' })
  expect(await readFile(join(into, 'etc'), 'utf8')).toBe('as it was')
})
