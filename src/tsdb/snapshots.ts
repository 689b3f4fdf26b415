import { open, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { PromDrError, systemCode } from '../errors.ts'
import { listSnapshots } from './data-directory.ts'
import { dataFileError } from './file-errors.ts'

/** The note in a snapshot's directory that says whose it is. Prometheus looks at nothing below `snapshots/`. */
const noteName = '.prom-dr-snapshot.json'
const namePattern = /^\d{8}T\d{6}Z-[0-9a-f]+$/

/** A snapshot that this tool took: its name was returned to us and written down. */
export interface OwnSnapshot<Taker> {
  name: string
  path: string
  taker: Taker
}

export function snapshotPath(dataDir: string, name: string): string {
  if (!namePattern.test(name)) throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `the server named its snapshot ${JSON.stringify(name.slice(0, 100))}`, { hint: 'is this URL really a Prometheus?' })
  return join(dataDir, 'snapshots', name)
}

/**
 * Writes down that the snapshot is ours. A crash before this line leaves a snapshot that nobody removes but that is
 * reported; a crash after it one that the next backup removes.
 */
export async function noteSnapshot(path: string, taker: object): Promise<void> {
  const temporary = join(path, `${noteName}.tmp`)
  try {
    const handle = await open(temporary, 'w', 0o600)
    try {
      await handle.writeFile(`${JSON.stringify(taker)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, join(path, noteName))
  } catch (error) {
    throw dataFileError(error, path)
  }
}

/** Removes a snapshot of ours: its blocks first and the note last, so that a crash leaves it known as ours. */
export async function removeSnapshot(path: string): Promise<void> {
  try {
    for (const name of await readdir(path)) {
      if (name !== noteName) await rm(join(path, name), { recursive: true, force: true })
    }
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw dataFileError(error, path)
  }
}

/** The snapshots in a data directory that carry a readable note, with what it says. */
export async function listOwnSnapshots<Taker>(dataDir: string, parse: (note: unknown) => Taker | undefined): Promise<OwnSnapshot<Taker>[]> {
  const own: OwnSnapshot<Taker>[] = []
  for (const { name, path } of await listSnapshots(dataDir)) {
    if (!namePattern.test(name)) continue
    const taker = parse(await readNote(join(path, noteName)))
    if (taker !== undefined) own.push({ name, path, taker })
  }
  return own
}

async function readNote(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError || systemCode(error) === 'ENOENT') return undefined
    throw dataFileError(error, path)
  }
}
