import pLimit from 'p-limit'
import { isComponentName } from '../domain/archive.ts'
import { isRecoveryPointId } from '../domain/recovery-point.ts'
import { isUlid } from '../domain/ulid.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { signalOf } from './documents.ts'
import { archivesPrefix, blockPrefix, headsPrefix, instancePrefix, isMarkKey, markKeyOf, tombstonesPrefix } from './layout.ts'
import { listBlockUlids, listBlocks, metaFile } from './stored-blocks.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/** What recovery points name, and expiry removes when none does. Whole or not: a partial upload is removed as a whole block is. */
export interface Removable {
  kind: 'block' | 'head' | 'tombstones' | 'archive' | 'external'
  /** As manifests name it: a prefix that ends in `/`, or a key. */
  name: string
  /** Keys in the order in which they go; the mark is not among them. */
  keys: string[]
  sizeBytes: number
  marked: boolean
}

/** Every block of the repository, whosever it is. */
export async function listRemovableBlocks(store: ObjectStore, options: Options = {}): Promise<Removable[]> {
  const ulids = [...(await listBlockUlids(store, options))]
  const removables: Removable[] = []
  for (const [ulid, { files, marked }] of await listBlocks(store, ulids, options)) {
    const name = blockPrefix(ulid)
    const sizeBytes = [...files.values()].reduce((sum, bytes) => sum + bytes, 0)
    if (files.size > 0 || marked) removables.push({ kind: 'block', name, keys: metaFirst([...files.keys()].map((path) => `${name}${path}`)), sizeBytes, marked })
  }
  return removables
}

/** What one instance has for itself: heads, tombstones, archives and external data. What has another name is none of ours and stays. */
export async function listRemovablesOf(store: ObjectStore, instance: string, options: Options = {}): Promise<Removable[]> {
  const found = new Map<string, Removable>()
  const prefixes = [headsPrefix(instance), tombstonesPrefix(instance), archivesPrefix(instance)]
  const limit = pLimit(prefixes.length)
  await Promise.all(prefixes.map((prefix) => limit(async () => {
    for await (const object of store.list(prefix, signalOf(options))) {
      const mark = isMarkKey(object.key)
      const what = placeOf(mark ? unmarked(object.key) : object.key, instance)
      if (what === undefined) continue
      const removable = found.get(what.name) ?? { ...what, keys: [], sizeBytes: 0, marked: false }
      found.set(what.name, removable)
      if (mark) removable.marked = true
      else {
        removable.keys.push(object.key)
        removable.sizeBytes += object.sizeBytes
      }
    }
  })))
  return [...found.values()].map((removable) => ({ ...removable, keys: metaFirst(removable.keys) }))
}

/** The key or prefix that a mark stands for. */
function unmarked(key: string): string {
  if (key.endsWith('/deletion-mark.json')) return key.slice(0, -'deletion-mark.json'.length)
  const marked = key.slice(0, -'.deletion-mark.json'.length)
  return markKeyOf(`${marked}/`) === key ? `${marked}/` : marked
}

function placeOf(key: string, instance: string): Pick<Removable, 'kind' | 'name'> | undefined {
  const base = instancePrefix(instance)
  const [folder = '', first = '', ...rest] = key.slice(base.length).split('/')
  if (folder === 'heads' && isUlid(first) && rest.length > 0) return { kind: 'head', name: `${base}heads/${first}/` }
  if (folder === 'tombstones' && /^[0-9a-f]{64}$/.test(first) && rest.length === 0) return { kind: 'tombstones', name: key }
  if (folder !== 'archives' || !isComponentName(first)) return undefined
  if (rest.length === 1 && /^[0-9a-f]{64}\.tar\.gz(\.age)?$/.test(rest[0] ?? '')) return { kind: 'archive', name: key }
  if (rest[0] === 'external' && isRecoveryPointId(rest[1] ?? '') && rest.length > 2) return { kind: 'external', name: `${base}archives/${first}/external/${rest[1]}/` }
  return undefined
}

/** Without meta.json no reader takes the rest for a block. */
function metaFirst(keys: string[]): string[] {
  const isMeta = (key: string) => key.endsWith(`/${metaFile}`)
  return [...keys.filter(isMeta), ...keys.filter((key) => !isMeta(key))]
}
