import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createGzip } from 'node:zlib'
import { type NamedArchive, isArchivePath, mostArchivedFiles } from '../domain/archive.ts'
import { PromDrError } from '../errors.ts'
import { fileFailure, onFile } from './file-failures.ts'
import { endOfTar, entryHeader, entryPadding } from './tar-entries.ts'
import { throughStream } from './through-stream.ts'
import { type WrittenFile, writeNewFile } from './write-file.ts'

const readBytes = 256 * 1024

export interface PackedArchive {
  /** Of the plain tar. */
  contentSha256: string
  /** The tar.gz. */
  file: WrittenFile
  files: NamedArchive['files']
}

/**
 * Packs a directory of plain files as a tar.gz. Equal files give an equal tar, wherever and whenever it is packed: sorted by the bytes of
 * their paths, owner and time fixed, modes kept. How it is compressed may differ between machines, so content is compared by the tar's digest.
 * @throws COMPONENT_FAILED when there is anything but plain files, or one changes while it is read
 */
export async function packDirectory(directory: string, target: { path: string; signal: AbortSignal }): Promise<PackedArchive> {
  const paths = await plainFiles(directory)
  const content = createHash('sha256')
  const files: NamedArchive['files'] = []
  async function* tar(): AsyncGenerator<Buffer> {
    for (const path of paths) {
      for await (const piece of packFile(directory, path, files)) {
        target.signal.throwIfAborted()
        content.update(piece)
        yield piece
      }
    }
    const end = endOfTar()
    content.update(end)
    yield end
  }
  const file = await writeNewFile(target.path, throughStream(tar(), createGzip(), target.signal))
  return { contentSha256: content.digest('hex'), file, files }
}

async function* packFile(directory: string, path: string, files: NamedArchive['files']): AsyncGenerator<Buffer> {
  const absolute = join(directory, path)
  const handle = await onFile(absolute, open(absolute, constants.O_RDONLY | constants.O_NOFOLLOW))
  try {
    const { size: sizeBytes, mode } = await handle.stat()
    const entry = { path, sizeBytes, mode: mode & 0o777 }
    yield entryHeader(entry)
    const hash = createHash('sha256')
    let bytes = 0
    for await (const piece of handle.createReadStream({ highWaterMark: readBytes, autoClose: false })) {
      bytes += (piece as Buffer).byteLength
      if (bytes > sizeBytes) break
      hash.update(piece as Buffer)
      yield piece as Buffer
    }
    if (bytes !== sizeBytes) throw new PromDrError('COMPONENT_FAILED', `${path} changed while it was archived`, { hint: 'run the same command again' })
    yield entryPadding(sizeBytes)
    files.push({ path, sizeBytes, sha256: hash.digest('hex'), mode: entry.mode })
  } catch (error) {
    throw fileFailure(error, absolute)
  } finally {
    await handle.close()
  }
}

/** Sorted by their bytes, which does not depend on any language. */
async function plainFiles(directory: string): Promise<string[]> {
  const paths: string[] = []
  const visit = async (below: string): Promise<void> => {
    const entries = await onFile(directory, readdir(join(directory, below), { withFileTypes: true, encoding: 'buffer' }))
    for (const entry of entries) {
      const name = entry.name.toString('utf8')
      const path = below === '' ? name : `${below}/${name}`
      if (!isArchivePath(path) || !Buffer.from(name).equals(entry.name)) throw refused(path, 'has a name that no archive takes: it is not printable UTF-8, or too long')
      if (entry.isDirectory()) await visit(path)
      else if (entry.isFile()) paths.push(path)
      else throw refused(path, 'is neither a file nor a directory')
    }
  }
  await visit('')
  if (paths.length > mostArchivedFiles) throw new PromDrError('COMPONENT_FAILED', `${paths.length} files are too many for one archive: at most ${mostArchivedFiles}`, { hint: 'narrow the configured paths down, or split them into several components' })
  return paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

function refused(path: string, reason: string): PromDrError {
  return new PromDrError('COMPONENT_FAILED', `${JSON.stringify(path)} ${reason}`, { hint: 'narrow the configured paths down so that it is left out' })
}
