import { archiveKey, blockPrefix, headPrefix, instancePrefix, tombstonesKey } from '../../src/repository/layout.ts'
import { isEncrypted } from '../../src/domain/archive.ts'
import { type NamedBlock, allBlocks } from '../../src/domain/recovery-point.ts'
import { unsealJson } from '../../src/repository/sealed-json.ts'
import { fromManifest, manifestSchema, type StoredRecoveryPoint } from '../../src/repository/recovery-point-schema.ts'
import type { MemoryStore } from '../../src/stores/memory-store.ts'

/** Every recovery point in a memory store, read past all wrappers. */
export function pointsIn(store: Pick<MemoryStore, 'objects'>): StoredRecoveryPoint[] {
  return [...store.objects].filter(([key]) => key.includes('/recovery-points/')).map(([key, { bytes }]) => {
    const point = parsed.get(bytes) ?? fromManifest(manifestSchema.parse(unsealJson(bytes, key)))
    parsed.set(bytes, point)
    return point
  })
}

const parsed = new WeakMap<Uint8Array, StoredRecoveryPoint>()

/** What manifests name and the store does not have: nothing, at any time. Also what the shipped WAL names, where no expiry runs. */
export function missingIn(store: Pick<MemoryStore, 'objects'>, options: { stream: boolean } = { stream: true }): string[] {
  const missing: string[] = []
  const need = (who: string, key: string, sizeBytes?: number) => {
    const found = store.objects.get(key)
    if (found === undefined || (sizeBytes !== undefined && found.bytes.byteLength !== sizeBytes)) missing.push(`${who}: ${key}`)
  }
  for (const point of pointsIn(store)) {
    const needBlock = (prefix: string, block: NamedBlock) => Object.entries(block.files).forEach(([path, sizeBytes]) => need(point.id, `${prefix}${path}`, sizeBytes))
    for (const block of point.blocks) needBlock(blockPrefix(block.ulid), block)
    if (point.head.kind === 'block') needBlock(headPrefix(point.instance, point.head.block.ulid), point.head.block)
    for (const { tombstones } of allBlocks(point)) if (tombstones !== undefined) need(point.id, tombstonesKey(point.instance, tombstones.sha256), tombstones.sizeBytes)
    for (const archive of point.archives) need(point.id, archiveKey(point.instance, { component: archive.component, sha256: archive.stored.sha256, encrypted: isEncrypted(archive) }), archive.stored.sizeBytes)
  }
  for (const [key, { bytes }] of options.stream ? store.objects : []) {
    if (!/\/wal\/[^/]+\/deletions\//.test(key)) continue
    const { sha256 } = unsealJson(bytes, key) as { sha256: string }
    need(key, tombstonesKey(key.split('/')[1] as string, sha256))
  }
  return missing
}

/** Blocks, heads, tombstones and archives that nothing names, marks included: what a repository without work in progress has none of. */
export function unnamedIn(store: Pick<MemoryStore, 'objects'>): string[] {
  const prefixes: string[] = []
  for (const point of pointsIn(store)) {
    prefixes.push(...point.blocks.map(({ ulid }) => blockPrefix(ulid)), ...(point.head.kind === 'block' ? [headPrefix(point.instance, point.head.block.ulid)] : []))
    prefixes.push(...allBlocks(point).flatMap(({ tombstones }) => (tombstones === undefined ? [] : [tombstonesKey(point.instance, tombstones.sha256)])))
    prefixes.push(...point.archives.flatMap((archive) => [archiveKey(point.instance, { component: archive.component, sha256: archive.stored.sha256, encrypted: isEncrypted(archive) }), ...(archive.external === undefined ? [] : [`${instancePrefix(point.instance)}${archive.external.prefix}`])]))
  }
  for (const [key, { bytes }] of store.objects) {
    if (/\/wal\/[^/]+\/deletions\//.test(key)) prefixes.push(tombstonesKey(key.split('/')[1] as string, (unsealJson(bytes, key) as { sha256: string }).sha256))
  }
  const named = (key: string) => prefixes.some((prefix) => (prefix.endsWith('/') ? key.startsWith(prefix) : key === prefix))
  return [...store.objects.keys()].filter((key) => key.endsWith('deletion-mark.json') || key.includes('/intents/') || (/^blocks\/|\/(heads|tombstones|archives)\//.test(key) && !named(key)))
}
