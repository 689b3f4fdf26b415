import { isRecoveryPointId, type NamedBlock } from '../../domain/recovery-point.ts'
import { blockPrefix, blocksPrefix, headPrefix, instancePrefix, tombstonesKey } from '../../repository/layout.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { type StoredFiles, listBlocks } from '../../repository/stored-blocks.ts'
import type { ObjectStore } from '../../stores/object-store.ts'

/** Something that recovery points name: a block or head with its files, or the deletions of a block. */
export type NamedUnit =
  | { kind: 'block'; name: string; prefix: string; block: NamedBlock; recoveryPoints: string[] }
  | { kind: 'tombstones'; name: string; key: string; instance: string; sha256: string; sizeBytes: number; recoveryPoints: string[] }

/** Everything that the recovery points name, each once however many name it. */
export function namedUnits(points: readonly StoredRecoveryPoint[]): NamedUnit[] {
  const units = new Map<string, NamedUnit>()
  const add = (key: string, id: string, unit: () => NamedUnit) => {
    const known = units.get(key)
    if (known === undefined) units.set(key, unit())
    else known.recoveryPoints.push(id)
  }
  for (const point of points) {
    const { id, instance } = point
    const addBlock = (block: NamedBlock, prefix: string) => {
      // Two manifests may name one block with other sizes or another digest: both promises are checked.
      const promise = `${prefix} ${block.metaSha256} ${JSON.stringify(block.files)}`
      add(promise, id, () => ({ kind: 'block', name: block.ulid, prefix, block, recoveryPoints: [id] }))
      const { tombstones } = block
      if (tombstones === undefined) return
      const key = tombstonesKey(instance, tombstones.sha256)
      add(key, id, () => ({ kind: 'tombstones', name: tombstones.sha256, key, instance, ...tombstones, recoveryPoints: [id] }))
    }
    for (const block of point.blocks) addBlock(block, blockPrefix(block.ulid))
    if (point.head.kind === 'block') addBlock(point.head.block, headPrefix(instance, point.head.block.ulid))
  }
  return [...units.values()]
}

export interface ListedDamage {
  key: string
  reason: string
  recoveryPoints: string[]
}

/** Up to so many heads are listed each for itself. */
const fewHeads = 50

/** What to list beside the shared blocks. */
function otherPrefixes(units: readonly NamedUnit[], instances: readonly string[]): string[] {
  const heads = [...new Set(units.flatMap((unit) => (unit.kind === 'block' && !unit.prefix.startsWith(blocksPrefix) ? [unit.prefix] : [])))]
  const tombstones = instances.filter((instance) => units.some((unit) => unit.kind === 'tombstones' && unit.instance === instance))
  return [...(heads.length > fewHeads ? instances.map((instance) => `${instancePrefix(instance)}heads/`) : heads), ...tombstones.map((instance) => `${instancePrefix(instance)}tombstones/`)]
}

/** Compares a listing of the repository with what is named: existence and sizes, without reading a byte. */
export async function checkListing(store: ObjectStore, units: readonly NamedUnit[], options: { instances: readonly string[]; signal?: AbortSignal | undefined }): Promise<{ damaged: ListedDamage[]; objects: number; bytes: number }> {
  const shared = units.flatMap((unit) => (unit.kind === 'block' && unit.prefix.startsWith(blocksPrefix) ? [unit.name] : []))
  const stored = new Map<string, StoredFiles>()
  for (const [ulid, files] of await listBlocks(store, [...new Set(shared)], options)) stored.set(blockPrefix(ulid), files)
  const others = new Map<string, number>()
  for (const prefix of otherPrefixes(units, options.instances)) {
    for await (const object of store.list(prefix, options.signal === undefined ? {} : { signal: options.signal })) others.set(object.key, object.sizeBytes)
  }
  const result = { damaged: [] as ListedDamage[], objects: 0, bytes: 0 }
  const expect = (key: string, sizes: { expected: number; found: number | undefined }, recoveryPoints: string[]) => {
    result.objects += 1
    result.bytes += sizes.found ?? 0
    if (sizes.found === sizes.expected) return
    const reason = sizes.found === undefined ? 'it is missing' : `it has ${sizes.found} bytes instead of ${sizes.expected}`
    result.damaged.push({ key, reason, recoveryPoints })
  }
  for (const unit of units) {
    if (unit.kind === 'tombstones') {
      expect(unit.key, { expected: unit.sizeBytes, found: others.get(unit.key) }, unit.recoveryPoints)
      continue
    }
    for (const [path, expected] of Object.entries(unit.block.files)) {
      const key = `${unit.prefix}${path}`
      expect(key, { expected, found: stored.get(unit.prefix)?.files.get(path) ?? others.get(key) }, unit.recoveryPoints)
    }
  }
  return result
}

/** The recovery points that were asked for by id; all without any. */
export function selectPoints(points: readonly StoredRecoveryPoint[], ids: readonly string[]): StoredRecoveryPoint[] {
  const wanted = ids.filter(isRecoveryPointId)
  return points.filter((point) => wanted.length === 0 || wanted.includes(point.id))
}
