import type { Dirent, Stats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { unlessMissing } from './file-errors.ts'
import { type FilePaths, temporaryFolder } from './file-paths.ts'
import { throwIfInterrupted } from './interruption.ts'
import { checkFolderPrefix, checkPrefix, compareKeys } from './keys.ts'
import type { StoredObject } from './object-store.ts'

/** How many entries may be read ahead of the one that is handed out: bounds both memory and open calls. */
const readAheadEntries = 512
const siblingsAhead = 32

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

/** Every file below the root whose key starts with `prefix`, in key order, reading ahead in parallel. */
export async function* listFiles(paths: FilePaths, prefix: string, signal?: AbortSignal): AsyncGenerator<StoredObject, void, undefined> {
  checkPrefix(prefix)
  const { root } = paths
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

  async function* walk(nodes: TreeNode[]): AsyncGenerator<StoredObject, void, undefined> {
    for (const [index, node] of nodes.entries()) {
      throwIfInterrupted(signal)
      start(node)
      startNext(nodes, index + 1)
      if (node.kind === 'folder') {
        const children = await node.children!
        aheadEntries--
        delete node.children
        yield* walk(children)
        continue
      }
      const status = await node.status!
      aheadEntries--
      delete node.status
      if (status?.isFile()) yield { key: node.key, sizeBytes: status.size, modifiedAt: status.mtime }
    }
  }

  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  if (await paths.checkContained(join(root, folder, 'any'))) yield* walk(await readFolder(root, folder, prefix))
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
async function readFolder(root: string, folder: string, prefix: string): Promise<TreeNode[]> {
  const path = join(root, folder)
  const entries: Dirent[] = (await unlessMissing('list', path, () => readdir(path, { withFileTypes: true }))) ?? []
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
