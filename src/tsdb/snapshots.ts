import { randomUUID } from 'node:crypto'
import { open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PromDrError, systemCode } from '../errors.ts'
import { listSnapshots, ownNamePrefix } from './data-directory.ts'
import { dataFileError, onDataFile } from './file-errors.ts'

/** The note in a snapshot's directory that says whose it is. Prometheus looks at nothing below `snapshots/`. */
const noteName = '.prom-dr-snapshot.json'
/** Of the file in the data directory that is there while a snapshot is asked for; `snapshots/` is the server's own to make. */
const requestPrefix = `${ownNamePrefix}snapshot-request-`
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

/** A snapshot that somebody is asking for, or was when he was killed. */
export interface SnapshotAnnouncement<Taker> {
  path: string
  taker: Taker
  /** Names of the snapshots that were there before. */
  before: string[]
}

/**
 * Writes down that a snapshot is about to be asked for: killed before its name arrives, what the server made of it can at
 * least be named. Fails where this process could not remove a snapshot either, before one is taken.
 * @returns the announcement's path @throws DATA_DIR_UNREADABLE, DISK_FULL
 */
export async function announceSnapshot(dataDir: string, announcement: { id: string; taker: object; before: readonly string[] }): Promise<string> {
  const path = join(dataDir, `${requestPrefix}${announcement.id}.json`)
  await writeDurableNote(path, { taker: announcement.taker, before: announcement.before })
  return path
}

/**
 * Whether an announcement could be written, found by writing a file and removing it. Its name is that of an unfinished
 * announcement of this process, so that the next backup removes it where this process is killed in between.
 * @throws DATA_DIR_UNREADABLE, DISK_FULL, FILE_SYSTEM
 */
export async function tryToNote(dataDir: string): Promise<void> {
  const path = join(dataDir, `${requestPrefix}${process.pid}-${randomUUID()}.json.tmp`)
  await onDataFile(dataDir, writeFile(path, '', { flag: 'wx' }).then(() => rm(path, { force: true })))
}

export async function withdrawAnnouncement(path: string): Promise<void> {
  await onDataFile(path, rm(path, { force: true }))
}

/** An announcement that its process was killed while writing: no snapshot was asked for yet. Its name begins with the process's id. */
async function removeUnfinished(path: string): Promise<void> {
  const pid = /snapshot-request-(\d+)-/.exec(path)?.[1]
  const alive = await stat(`/proc/${pid}`).then(() => true, () => false)
  if (!alive) await rm(path, { force: true })
}

/** The announcements in a data directory. One that cannot be read is nobody's, and stays. */
export async function listAnnouncements<Taker>(dataDir: string, parse: (taker: unknown) => Taker | undefined): Promise<SnapshotAnnouncement<Taker>[]> {
  const found: SnapshotAnnouncement<Taker>[] = []
  for (const name of await onDataFile(dataDir, readdir(dataDir))) {
    if (!name.startsWith(requestPrefix)) continue
    const path = join(dataDir, name)
    if (name.endsWith('.tmp')) await removeUnfinished(path)
    if (!name.endsWith('.json')) continue
    const note = (await readNote(path)) as { taker?: unknown; before?: unknown } | undefined
    const taker = parse(note?.taker)
    if (taker !== undefined && Array.isArray(note?.before)) found.push({ path, taker, before: note.before.map(String) })
  }
  return found
}

/**
 * Writes down that the snapshot is ours. A crash before this line leaves a snapshot that nobody removes but that is
 * reported; a crash after it one that the next backup removes.
 */
export async function noteSnapshot(path: string, taker: object): Promise<void> {
  await writeDurableNote(join(path, noteName), taker)
}

async function writeDurableNote(path: string, note: object): Promise<void> {
  const temporary = `${path}.tmp`
  try {
    const handle = await open(temporary, 'w', 0o600)
    try {
      await handle.writeFile(`${JSON.stringify(note)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw dataFileError(error, path)
  }
}

/** Removes a snapshot of ours: its blocks first and the note last, so that a crash leaves it known as ours. */
export async function removeSnapshot(path: string): Promise<void> {
  try {
    const blocks = (await readdir(path)).filter((name) => name !== noteName)
    await Promise.all(blocks.map((name) => rm(join(path, name), { recursive: true, force: true })))
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
