import { once } from 'node:events'
import { watch } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { listAnnouncements, tryToNote } from '../../src/tsdb/snapshots.ts'
import { temporaryDirectory } from '../support/cleanup.ts'

/** No process has this id: it is above the largest that Linux gives. */
const deadPid = 99_999_999

describe('trying whether a data directory can be written to', () => {
  it('leaves nothing, and killed before it has removed its file, a name that the next backup removes once that process is gone', async () => {
    const directory = await temporaryDirectory('try')
    const watcher = watch(directory)
    const [[, name]] = (await Promise.all([once(watcher, 'change'), tryToNote(directory)])) as [[string, string], void]
    watcher.close()
    expect(await readdir(directory)).toEqual([])
    expect(name).toContain(`-${process.pid}-`)
    await writeFile(join(directory, name), '')
    await listAnnouncements(directory, () => undefined)
    expect(await readdir(directory)).toEqual([name])
    const ofTheDead = name.replace(`-${process.pid}-`, `-${deadPid}-`)
    await writeFile(join(directory, ofTheDead), '')
    await listAnnouncements(directory, () => undefined)
    expect(await readdir(directory)).toEqual([name])
  })
})
