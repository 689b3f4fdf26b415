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

const componentName = /^[a-z0-9][a-z0-9_-]{0,62}$/

export function isComponentName(name: string): boolean {
  return componentName.test(name)
}
