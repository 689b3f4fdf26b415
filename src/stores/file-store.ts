import { link, lstat, open, rename, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import pLimit from 'p-limit'
import { systemCode } from '../errors.ts'
import { type Clock, systemClock } from '../system/clock.ts'
import { syncPath } from '../system/sync-path.ts'
import { readBody } from './body-reader.ts'
import { commitExclusive, hasNoLinks } from './file-commit.ts'
import { createDurableDirectories, missingDirectories, removeDirectories } from './file-directories.ts'
import { fileError, unlessMissing } from './file-errors.ts'
import { listFileFolders, listFiles } from './file-list.ts'
import { createFilePaths, temporaryFolder } from './file-paths.ts'
import { digestOfFileObject, readFileObject } from './file-read.ts'
import { removeAbandoned, removeFile, temporaryPath, writeTemporary } from './file-temporary.ts'
import { throwIfInterrupted } from './interruption.ts'
import type { Body, ObjectStore, StoreCapabilities, WriteOptions, WrittenObject } from './object-store.ts'
import { objectExists, objectNotFound } from './store-errors.ts'

export interface FileStoreOptions {
  /** The directory; made at the first write. */
  root: string
  clock?: Clock
}

const commitTries = 20
const parallelDeletes = 16

/**
 * Objects as plain files below a directory. A write goes to `<root>/.prom-dr-tmp/`, is fsynced, and gets its name by
 * link(2) (create) or rename(2) (put); a crash before that leaves a file in there, which is removed when a day old.
 */
export function createFileStore(options: FileStoreOptions): ObjectStore {
  const root = resolve(options.root)
  const clock = options.clock ?? systemClock
  const url = pathToFileURL(root).href
  const paths = createFilePaths(root)
  const directories = createDurableDirectories(root)
  const temporaryDirectory = join(root, temporaryFolder)
  let capabilities: StoreCapabilities | undefined
  let prepared: Promise<void> | undefined

  async function prepare(): Promise<void> {
    prepared ??= (async () => {
      await directories.ensure(temporaryDirectory)
      await removeAbandoned(temporaryDirectory, await timeOfNewFile())
    })()
    try {
      await prepared
    } catch (error) {
      prepared = undefined
      throw fileError(error, 'write to', temporaryDirectory)
    }
  }

  /** The time at which the file system dates a new file: on a network mount, its server's clock. */
  async function timeOfNewFile(): Promise<Date> {
    const path = temporaryPath(temporaryDirectory)
    const handle = await open(path, 'wx')
    try {
      return (await handle.stat()).mtime
    } finally {
      await handle.close()
      await removeFile(path)
    }
  }

  /** Puts a new temporary file under its name; false when an exclusive name is taken. */
  async function commit(temporary: string, path: string, exclusive: boolean): Promise<boolean> {
    const directory = dirname(path)
    for (let tries = 1; ; tries++) {
      try {
        await directories.ensure(directory)
        if (!exclusive) await rename(temporary, path)
        else if (!(await commitExclusive(temporary, path))) return false
        await syncPath(directory)
        return true
      } catch (error) {
        // A delete that emptied the directory may remove it between our mkdir and our link.
        if (systemCode(error) !== 'ENOENT' || tries === commitTries) throw error
        directories.forget(directory)
      }
    }
  }

  async function write(key: string, body: Body, options: WriteOptions & { exclusive: boolean }): Promise<WrittenObject> {
    const path = paths.of(key)
    throwIfInterrupted(options.signal)
    await paths.checkContained(path)
    if (options.exclusive && (await taken(path))) return await compare(key, body, options)
    await prepare()
    const temporary = temporaryPath(temporaryDirectory)
    const reader = readBody(key, body, options.signal)
    try {
      await writeTemporary(temporary, { reader, sizeBytes: body.sizeBytes, onProgress: options.onProgress })
      throwIfInterrupted(options.signal)
      const written = { key, sizeBytes: body.sizeBytes, sha256: reader.sha256(), created: true }
      if (await commit(temporary, path, options.exclusive)) return written
      if ((await digestOfFileObject(paths, key, options)) !== written.sha256) throw objectExists(url, key)
      await syncPath(dirname(path))
      return { ...written, created: false }
    } catch (error) {
      throw fileError(error, 'write', path)
    } finally {
      await removeFile(temporary)
    }
  }

  async function taken(path: string): Promise<boolean> {
    return (await unlessMissing('read', path, () => lstat(path))) !== undefined
  }

  /** The key is taken: nothing is written, the body and the object are read and compared. */
  async function compare(key: string, body: Body, { signal }: WriteOptions): Promise<WrittenObject> {
    const present = await readFileObject(paths, key, signal && { signal })
    present?.body.destroy()
    if (present?.sizeBytes !== body.sizeBytes) throw objectExists(url, key)
    const reader = readBody(key, body, signal)
    for await (const _chunk of reader.chunks());
    if ((await digestOfFileObject(paths, key, signal && { signal })) !== reader.sha256()) throw objectExists(url, key)
    // The other writer may have died before its own fsync of the directory.
    await directories.ensure(dirname(paths.of(key)))
    await syncPath(dirname(paths.of(key)))
    return { key, sizeBytes: body.sizeBytes, sha256: reader.sha256(), created: false }
  }

  async function probe(prefix: string): Promise<StoreCapabilities> {
    const missing = await missingDirectories(temporaryDirectory)
    try {
      return await tryLinks(prefix)
    } finally {
      if (missing.length > 0) await removeMade(missing)
    }
  }

  /** Who only looks whether it could be written makes no repository. */
  async function removeMade(made: readonly string[]): Promise<void> {
    prepared = undefined
    directories.forget(temporaryDirectory)
    await removeDirectories(made).catch((error: unknown) => Promise.reject(fileError(error, 'remove', root)))
  }

  async function tryLinks(prefix: string): Promise<StoreCapabilities> {
    await prepare()
    const directory = dirname(paths.of(`${prefix}probe`))
    const first = temporaryPath(temporaryDirectory)
    const second = temporaryPath(temporaryDirectory)
    try {
      await directories.ensure(directory)
      await (await open(first, 'wx')).close()
      await link(first, second)
      // Bytes written to a file cross no wire that a store could check; bit rot is for `verify` to find.
      return { conditionalCreate: true, verifiedUploads: true, caveats: [] }
    } catch (error) {
      if (!hasNoLinks(error)) throw fileError(error, 'write to', directory)
      return { conditionalCreate: false, verifiedUploads: true, caveats: ['this file system has no hard links, so two writers that create one object at the same moment can both succeed: let one writer a verb use it'] }
    } finally {
      await Promise.all([removeFile(first), removeFile(second)])
      await directories.removeEmpty([directory])
    }
  }

  return {
    url,
    listsInPages: false,
    create: (key, body, writeOptions) => write(key, body, { ...writeOptions, exclusive: true }),
    put: (key, body, writeOptions) => write(key, body, { ...writeOptions, exclusive: false }),

    async get(key, readOptions) {
      throwIfInterrupted(readOptions?.signal)
      const object = await readFileObject(paths, key, readOptions)
      if (object === undefined) throw objectNotFound(url, key)
      return object
    },

    async head(key, { signal } = {}) {
      const path = paths.of(key)
      throwIfInterrupted(signal)
      if (!(await paths.checkContained(path))) return undefined
      const status = await unlessMissing('read', path, () => lstat(path))
      return status?.isFile() ? { key, sizeBytes: status.size, modifiedAt: status.mtime } : undefined
    },

    list: (prefix, listOptions) => listFiles(paths, prefix, listOptions?.signal),
    listFolders: (prefix, listOptions) => listFileFolders(paths, prefix, listOptions?.signal),

    async delete(keys, { signal } = {}) {
      const targets = keys.map((key) => paths.of(key))
      const limit = pLimit(parallelDeletes)
      const emptied = new Set<string>()
      try {
        await Promise.all(
          targets.map((path) =>
            limit(async () => {
              throwIfInterrupted(signal)
              if (!(await paths.checkContained(path))) return
              await unlessMissing('remove', path, () => unlink(path).catch(unlessFolder))
              emptied.add(dirname(path))
            }),
          ),
        )
      } finally {
        limit.clearQueue()
        await directories.removeEmpty(emptied).catch((error: unknown) => Promise.reject(fileError(error, 'remove directories below', root)))
      }
    },

    async now({ signal } = {}) {
      throwIfInterrupted(signal)
      try {
        return await timeOfNewFile()
      } catch (error) {
        // Nothing was written here yet, or we may only read: the machine's clock has to do.
        if (['ENOENT', 'EACCES', 'EPERM', 'EROFS'].includes(systemCode(error) ?? '')) return clock.now()
        throw fileError(error, 'write to', temporaryDirectory)
      }
    },

    async capabilities(prefix) {
      capabilities ??= await probe(prefix)
      return capabilities
    },

    async close() {},
  }
}

/** A folder under the key means that there is no such object: as on S3, deleting it is success. */
function unlessFolder(error: unknown): void {
  if (systemCode(error) !== 'EISDIR') throw error
}
