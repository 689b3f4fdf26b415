import { z } from 'zod'
import type { NamedArchive } from '../domain/archive.ts'
import type { BlockFiles, NamedBlock, RecoveryPoint } from '../domain/recovery-point.ts'
import { isRecoveryPointId } from '../domain/recovery-point.ts'
import { tiers } from '../domain/tiers.ts'
import { isUlid } from '../domain/ulid.ts'
import { archiveSchema } from './archive-schema.ts'
import { type EncodedKnownAnswers, knownAnswersSchema } from './known-answers-codec.ts'
import { isInstanceName } from './layout.ts'

/** The newest version of a manifest that this program writes and reads. */
export const manifestVersion = 1

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in hex')
const count = z.number().int().nonnegative()
/** What a JavaScript date can hold. */
const time = z.number().int().min(-8.64e15).max(8.64e15)

/** A file of a block below its prefix: nothing else can be named, so that a hostile manifest reaches no other path. */
const blockFile = /^(index|meta\.json|chunks\/\d{6})$/

/** Looked at directly: of ten thousand blocks, a schema of records takes as long as everything else. */
const blockFiles = z.custom<BlockFiles>((value) => typeof value === 'object' && value !== null && !Array.isArray(value)).superRefine((files, context) => {
  for (const [path, sizeBytes] of Object.entries(files)) {
    if (!blockFile.test(path)) context.addIssue({ code: 'custom', message: `${JSON.stringify(path.slice(0, 100))} is not a file of a block` })
    else if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) context.addIssue({ code: 'custom', path: [path], message: 'not a size in bytes' })
  }
  if (!('meta.json' in files) || !('index' in files)) context.addIssue({ code: 'custom', message: 'a block has an index and a meta.json' })
})

const blockSchema = z.looseObject({
  ulid: z.string().refine(isUlid, 'not a ULID'),
  minTime: time,
  maxTime: time,
  level: z.number().int().positive(),
  inOrder: z.boolean(),
  numSeries: count,
  numSamples: count,
  numChunks: count,
  files: blockFiles,
  metaSha256: sha256,
  tombstones: z.looseObject({ sha256, sizeBytes: count }).optional(),
}).refine((block) => block.minTime < block.maxTime, 'a block has a time range')

const labels = z.record(z.string(), z.string())

/** The server that something is of. */
export const sourceSchema = z.looseObject({
  prometheusVersion: z.string(),
  hostname: z.string(),
  dataDir: z.string(),
  owner: z.looseObject({ uid: count, gid: count, user: z.string().nullable(), group: z.string().nullable() }),
  retention: z.looseObject({ timeMs: z.number().nullable(), sizeBytes: z.number().nullable() }),
  externalLabels: labels,
  scrapeTimeoutMs: count.optional(),
  outOfOrderWindowMs: count.optional(),
  flags: labels,
})

export const manifestSchema = z.looseObject({
  version: z.number().int().positive(),
  id: z.string().refine(isRecoveryPointId, 'not a recovery point id'),
  instance: z.string().refine(isInstanceName, 'not an instance name'),
  createdAt: z.iso.datetime(),
  minTime: time.nullable(),
  maxTime: time.nullable(),
  tiers: z.array(z.enum(tiers)),
  source: sourceSchema,
  blocks: z.array(blockSchema).refine((blocks) => new Set(blocks.map((block) => block.ulid)).size === blocks.length, 'a block is named once'),
  head: z.discriminatedUnion('kind', [
    z.looseObject({ kind: z.literal('block'), block: blockSchema }),
    z.looseObject({ kind: z.literal('empty') }),
    z.looseObject({ kind: z.literal('omitted') }),
    z.looseObject({ kind: z.literal('none') }),
    z.looseObject({ kind: z.literal('wal'), generation: z.string().refine(isRecoveryPointId, 'not a generation') }),
  ]),
  archives: z.array(archiveSchema).refine((archives) => new Set(archives.map(({ component }) => component)).size === archives.length, 'a component is archived once'),
  damagedAtSource: z.array(z.looseObject({ ulid: z.string().refine(isUlid, 'not a ULID'), reason: z.string() })).optional(),
  knownAnswers: knownAnswersSchema,
  cost: z.looseObject({ uploadedBytes: count, reusedBytes: count, durationMs: count }),
})
  .refine(({ head, blocks }) => head.kind !== 'none' || blocks.length === 0, 'a recovery point of components alone names no blocks')
  .refine(({ head, blocks }) => head.kind !== 'block' || blocks.every(({ ulid }) => ulid !== head.block.ulid), 'a block is named once, as head or among the others')

export type Manifest = z.infer<typeof manifestSchema>

/** The recovery point of a manifest, its known answers still packed. */
export type StoredRecoveryPoint = Omit<RecoveryPoint, 'knownAnswers'> & { knownAnswers: EncodedKnownAnswers }

export function toManifest(point: StoredRecoveryPoint): object {
  const { id, instance, createdAt, ...rest } = point
  return { version: manifestVersion, id, instance, createdAt: new Date(createdAt).toISOString(), ...rest }
}

export function fromManifest(manifest: Manifest): StoredRecoveryPoint {
  const { head } = manifest
  return {
    id: manifest.id,
    instance: manifest.instance,
    createdAt: Date.parse(manifest.createdAt),
    minTime: manifest.minTime,
    maxTime: manifest.maxTime,
    tiers: manifest.tiers,
    source: manifest.source,
    blocks: manifest.blocks.map(toBlock),
    head: head.kind === 'block' ? { kind: 'block', block: toBlock(head.block) } : head.kind === 'wal' ? { kind: 'wal', generation: head.generation } : { kind: head.kind },
    archives: manifest.archives.map(toArchive),
    ...(manifest.damagedAtSource !== undefined && { damagedAtSource: manifest.damagedAtSource }),
    knownAnswers: manifest.knownAnswers,
    cost: manifest.cost,
  }
}

function toBlock(block: z.infer<typeof blockSchema>): NamedBlock {
  const { tombstones, ...rest } = block
  return tombstones === undefined ? rest : { ...rest, tombstones }
}

function toArchive(archive: z.infer<typeof archiveSchema>): NamedArchive {
  const { external, stored, ...rest } = archive
  const { recipients, ...object } = stored
  return { ...rest, stored: recipients === undefined ? object : { ...object, recipients }, ...(external !== undefined && { external }) }
}
