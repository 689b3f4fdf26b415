import { type Dirent, type Stats, lstatSync, readdirSync } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { unlessMissing, unlessMissingSync } from './file-errors.ts'
import { type FilePaths, temporaryFolder } from './file-paths.ts'
import { throwIfInterrupted } from './interruption.ts'
import { checkFolderPrefix, checkPrefix, compareKeys } from './keys.ts'
import { isOnLocalDisk } from './local-disk.ts'
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
 * Every file below the root whose key starts with `prefix`, in key order. What the system has at hand is looked at directly; from
 * a slow disk, and from what may be a network mount, it is read ahead in parallel.
 */
export async function* listFiles(paths: FilePaths, prefix: string, signal?: AbortSignal): AsyncGenerator<StoredObject, void, undefined> {
  checkPrefix(prefix)
  const { root } = paths
  const pace = createPace({ direct: await isOnLocalDisk(root) })
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

  /** What was begun, or undefined where it has to be looked at directly. */
  function taken<T>(begun: T | undefined): T | undefined {
    if (begun !== undefined) aheadEntries--
    return begun
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
    const turn = pace.next()
    if (turn === 'others') await setImmediate()
    if (turn === 'slow') {
      start(node)
      startNext(level.nodes, level.next)
    }
    if (node.kind === 'folder') {
      const begun = taken(node.children)
      levels.push({ nodes: begun === undefined ? pace.timed(() => readFolderSync(root, node.key, prefix)) : await begun, next: 0 })
      delete node.children
      continue
    }
    const begun = taken(node.status)
    const status = begun === undefined ? pace.timed(() => statusSync(`${root}/${node.key}`)) : await begun
    delete node.status
    if (status?.isFile()) yield { key: node.key, sizeBytes: status.size, modifiedAt: status.mtime }
  }
}

interface Pace {
  /** Whether the next look may be a direct one, or should be left to a thread; `others` are to get a turn before it. */
  next(): 'direct' | 'slow' | 'others'
  timed<T>(look: () => T): T
}

function createPace({ direct }: { direct: boolean }): Pace {
  let meanMs = 0
  let looks = 0
  let slowUntil = direct ? 0 : Number.POSITIVE_INFINITY
  return {
    next() {
      looks++
      if (looks < slowUntil) return 'slow'
      return looks % turnLooks === 0 ? 'others' : 'direct'
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

async function readFolder(root: string, folder: string, prefix: string): Promise<TreeNode[]> {
  const path = join(root, folder)
  return nodesOf((await unlessMissing('list', path, () => readdir(path, { withFileTypes: true }))) ?? [], folder, prefix)
}

function readFolderSync(root: string, folder: string, prefix: string): TreeNode[] {
  const path = join(root, folder)
  return nodesOf(unlessMissingSync('list', path, () => readdirSync(path, { withFileTypes: true })) ?? [], folder, prefix)
}

function statusSync(path: string): Stats | undefined {
  return unlessMissingSync('read', path, () => lstatSync(path, { throwIfNoEntry: false }))
}

/**
 * Entries in the order of the keys below them: a folder sorts as its name and '/', so `a-` comes before `a/`.
 * Symbolic links and special files are no objects and are left out.
 */
function nodesOf(entries: readonly Dirent[], folder: string, prefix: string): TreeNode[] {
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
