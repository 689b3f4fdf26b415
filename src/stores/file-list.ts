import { type Dirent, type Stats, lstatSync, readdirSync } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { unlessMissing } from './file-errors.ts'
import { type FilePaths, temporaryFolder } from './file-paths.ts'
import { throwIfInterrupted } from './interruption.ts'
import { checkFolderPrefix, checkPrefix, compareKeys } from './keys.ts'
import type { StoredObject } from './object-store.ts'

/** How many entries may be read ahead of the one that is handed out: bounds both memory and open calls. */
const readAheadEntries = 512
const siblingsAhead = 32
/** Asking a thread costs about as much: what the system answers faster on average is asked for directly. */
const quickMs = 0.1
/** How many looks are left to threads after slow ones, before one is tried directly again. */
const slowLooks = 512
/** How many direct looks there are before everybody else gets a turn. */
const turnLooks = 256

interface FileNode {
  kind: 'file'
  key: string
  status?: Promise<Stats | undefined>
}

interface FolderNode {
  kind: 'folder'
  /** Ends in '/'. */
  key: string
  children?: Promise<TreeNode[]>
}

type TreeNode = FileNode | FolderNode

/**
 * Every file below the root whose key starts with `prefix`, in key order. What the system has at hand is looked at directly, from
 * a slow disk or a network mount it is read ahead in parallel.
 */
export async function* listFiles(paths: FilePaths, prefix: string, signal?: AbortSignal): AsyncGenerator<StoredObject, void, undefined> {
  checkPrefix(prefix)
  const { root } = paths
  const pace = createPace()
  let aheadEntries = 0

  function start(node: TreeNode): void {
    if (node.kind === 'file') {
      if (node.status !== undefined) return
      aheadEntries++
      const path = join(root, node.key)
      node.status = unlessMissing('read', path, () => lstat(path))
      node.status.catch(() => undefined)
      return
    }
    if (node.children !== undefined) return
    aheadEntries++
    node.children = readFolder(root, node.key, prefix).then((children) => {
      startNext(children, 0)
      return children
    })
    node.children.catch(() => undefined)
  }

  function startNext(nodes: TreeNode[], from: number): void {
    for (let index = from; index < Math.min(from + siblingsAhead, nodes.length) && aheadEntries < readAheadEntries; index++) start(nodes[index]!)
  }

  async function childrenOf(node: FolderNode): Promise<TreeNode[]> {
    if (node.children === undefined) return readFolder(root, node.key, prefix, pace)
    aheadEntries--
    return node.children
  }

  async function statusOf(node: FileNode): Promise<Stats | undefined> {
    const path = join(root, node.key)
    if (node.status === undefined) return unlessMissing('read', path, async () => pace.timed(() => lstatSync(path)))
    aheadEntries--
    return node.status
  }

  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  if (!(await paths.checkContained(join(root, folder, 'any')))) return
  // The folders that we are in. Not a generator in a generator: each hands on what the next one gives, at a price for each object.
  const levels = [{ nodes: await readFolder(root, folder, prefix), next: 0 }]
  for (let level = levels[0]; level !== undefined; level = levels.at(-1)) {
    throwIfInterrupted(signal)
    const node = level.nodes[level.next++]
    if (node === undefined) {
      levels.pop()
      continue
    }
    if (!(await pace.isQuick())) {
      start(node)
      startNext(level.nodes, level.next)
    }
    if (node.kind === 'folder') {
      levels.push({ nodes: await childrenOf(node), next: 0 })
      delete node.children
      continue
    }
    const status = await statusOf(node)
    delete node.status
    if (status?.isFile()) yield { key: node.key, sizeBytes: status.size, modifiedAt: status.mtime }
  }
}

interface Pace {
  /** Whether the next look may be a direct one. */
  isQuick(): Promise<boolean>
  timed<T>(look: () => T): T
}

function createPace(): Pace {
  let meanMs = 0
  let looks = 0
  let slowUntil = 0
  return {
    async isQuick() {
      looks++
      if (looks < slowUntil) return false
      if (looks % turnLooks === 0) await setImmediate()
      return true
    },
    timed(look) {
      const startedMs = performance.now()
      const result = look()
      meanMs += (performance.now() - startedMs - meanMs) / 8
      if (meanMs > quickMs) {
        slowUntil = looks + slowLooks
        meanMs = 0
      }
      return result
    },
  }
}

/** The distinct next segments below `prefix` that have files below them. */
export async function* listFileFolders(paths: FilePaths, prefix: string, signal?: AbortSignal): AsyncGenerator<string, void, undefined> {
  checkFolderPrefix(prefix)
  if (!(await paths.checkContained(join(paths.root, prefix, 'any')))) return
  const folders = (await readFolder(paths.root, prefix, prefix)).filter((node) => node.kind === 'folder')
  for (let from = 0; from < folders.length; from += siblingsAhead) {
    throwIfInterrupted(signal)
    const batch = folders.slice(from, from + siblingsAhead)
    const occupied = await Promise.all(batch.map((folder) => hasFiles(paths.root, folder.key)))
    for (const [index, folder] of batch.entries()) if (occupied[index]) yield folder.key.slice(prefix.length, -1)
  }
}

async function hasFiles(root: string, folder: string): Promise<boolean> {
  const nodes = await readFolder(root, folder, folder)
  if (nodes.some((node) => node.kind === 'file')) return true
  for (const node of nodes) if (await hasFiles(root, node.key)) return true
  return false
}

/**
 * Entries in the order of the keys below them: a folder sorts as its name and '/', so `a-` comes before `a/`.
 * Symbolic links and special files are no objects and are left out.
 */
async function readFolder(root: string, folder: string, prefix: string, pace?: Pace): Promise<TreeNode[]> {
  const path = join(root, folder)
  const look = async (): Promise<Dirent[]> => (pace === undefined ? readdir(path, { withFileTypes: true }) : pace.timed(() => readdirSync(path, { withFileTypes: true })))
  const entries = (await unlessMissing('list', path, look)) ?? []
  const nodes: TreeNode[] = []
  for (const entry of entries) {
    if (entry.isDirectory()) {
      const key = `${folder}${entry.name}/`
      if (entry.name !== temporaryFolder && (key.startsWith(prefix) || prefix.startsWith(key))) nodes.push({ kind: 'folder', key })
    } else if (entry.isFile()) {
      const key = folder + entry.name
      if (key.startsWith(prefix)) nodes.push({ kind: 'file', key })
    }
  }
  return nodes.sort((a, b) => compareKeys(a.key, b.key))
}
