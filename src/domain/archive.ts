/**
 * The files of one component in a recovery point. Either an archive of ours (tar.gz, perhaps encrypted), or data that the component's own
 * tool keeps below a prefix of the same repository (`vmbackup`).
 */
export interface NamedArchive {
  component: string
  kind: string
  /** SHA-256 of the plain tar, which is reproducible: equal content, equal digest. Of what is stored: `stored.sha256`, which names the object. */
  contentSha256: string
  stored: { sha256: string; sizeBytes: number; recipients?: string[] }
  /** Of the plain files in it. */
  files: { path: string; sizeBytes: number; sha256: string; mode: number }[]
  leftOut: { path: string; reason: string }[]
  /** What the component's tool keeps by itself, below the instance's prefix. */
  external?: { prefix: string; sizeBytes: number; objects: number }
}

/** What a component may store in one archive. */
export const mostArchivedFiles = 100_000

const componentName = /^[a-z0-9][a-z0-9_-]{0,62}$/

export function isComponentName(name: string): boolean {
  return componentName.test(name)
}

/** Whether what is stored was sealed for readers (`stored.recipients`, empty for a passphrase) and has to be opened first. */
export function isEncrypted(archive: Pick<NamedArchive, 'stored'>): boolean {
  return archive.stored.recipients !== undefined
}

/** Bytes in the repository, what the component's own tool keeps there included. */
export function archiveBytes(archive: Pick<NamedArchive, 'stored' | 'external'>): number {
  return archive.stored.sizeBytes + (archive.external?.sizeBytes ?? 0)
}

/** Whether the text is a path that stays below the directory it is taken from: relative, plain, printable, of bounded length. */
export function isArchivePath(path: string): boolean {
  if (path === '' || Buffer.byteLength(path) > 1024 || /\p{Surrogate}/u.test(path) || /[\u0000-\u001f\u007f]/.test(path)) return false
  return path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..' && Buffer.byteLength(segment) <= 255)
}

/** The first path that stands twice, or that is a file and a directory at once; undefined where they can lie side by side. */
export function collidingPath(paths: Iterable<string>): string | undefined {
  const files = new Set<string>()
  for (const path of paths) {
    if (files.has(path)) return path
    files.add(path)
  }
  for (const path of files) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (files.has(path.slice(0, end))) return path
    }
  }
  return undefined
}
