import { z } from 'zod'
import type { BlockMeta, ThanosFile } from '../domain/block.ts'
import { isUlid } from '../domain/ulid.ts'
import { PromDrError } from '../errors.ts'

/** meta.json of a block compacted from thousands of sources stays far below this. */
export const maxBlockMetaBytes = 4 * 1024 * 1024

const safeInteger = z.number().int()
const count = safeInteger.nonnegative()
const ulid = z.string().refine(isUlid, 'not a ULID')

// Go leaves zero counts and empty lists out, and writes null for a nil list.
const metaSchema = z.looseObject({
  ulid,
  minTime: safeInteger,
  maxTime: safeInteger,
  stats: z
    .looseObject({
      numSamples: count.default(0),
      numSeries: count.default(0),
      numChunks: count.default(0),
      numTombstones: count.optional(),
    })
    .prefault({}),
  compaction: z.looseObject({
    level: safeInteger.positive(),
    sources: z.array(ulid).nullish().transform((sources) => sources ?? []),
    parents: z.array(z.looseObject({ ulid, minTime: safeInteger, maxTime: safeInteger })).optional(),
    deletable: z.boolean().optional(),
    failed: z.boolean().optional(),
    hints: z.array(z.string()).optional(),
  }),
  version: z.literal(1),
  thanos: z
    .looseObject({
      version: safeInteger,
      labels: z.record(z.string(), z.string()),
      downsample: z.looseObject({ resolution: safeInteger }),
      source: z.string(),
      segment_files: z.array(z.string()).optional(),
      files: z
        .array(
          z.looseObject({
            rel_path: z.string(),
            size_bytes: count.optional(),
            hash: z.looseObject({ hashFunc: z.string(), value: z.string() }).optional(),
          }),
        )
        .optional(),
    })
    .optional(),
})

/**
 * Reads meta.json of the block whose directory is named `expectedUlid`. Unknown fields are kept in the value.
 * @throws DAMAGED when it is not version 1 of the format, names another block, has an empty time range, or has an
 * integer that a JavaScript number cannot hold: such a value would be stored changed.
 */
export function parseBlockMeta(text: string, expectedUlid: string): BlockMeta {
  const name = `meta.json of block ${expectedUlid}`
  if (!isUlid(expectedUlid)) throw damaged(`a block directory is named ${JSON.stringify(expectedUlid.slice(0, 100))}, which is not a ULID`)
  if (text.length > maxBlockMetaBytes) throw damaged(`${name} has ${text.length} characters, more than ${maxBlockMetaBytes}`)
  const json = parseJson(text, name)
  const unsafe = unsafeInteger(text)
  if (unsafe !== undefined) throw damaged(`${name} has the number ${unsafe}, which is too large to be kept exactly`)
  const parsed = metaSchema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw damaged(`${name} is not valid: ${issue?.path.join('.') || 'the document'}: ${issue?.message}`)
  }
  const meta = parsed.data as BlockMeta
  if (meta.ulid !== expectedUlid) throw damaged(`${name} says that it is block ${meta.ulid}`)
  if (meta.minTime >= meta.maxTime) throw damaged(`${name} has the empty time range [${meta.minTime}, ${meta.maxTime})`)
  return meta
}

/** A file of a block as it is stored: `relPath` is `index` or `chunks/NNNNNN`. */
export interface BlockFileDigest {
  relPath: string
  sizeBytes: number
  /** Lowercase hex. */
  sha256: string
}

export interface ThanosUpload {
  /** External labels of the server; empty values are dropped, as Thanos has it. */
  labels: Record<string, string>
  /** Every file of the block but meta.json, in any order. */
  files: readonly BlockFileDigest[]
  /** Which program uploaded the block. */
  source: string
}

/** The meta.json to upload: everything `meta` has, and the section that Thanos (pkg/block/metadata) reads. */
export function thanosMeta(meta: BlockMeta, upload: ThanosUpload): string {
  const labels = Object.entries(upload.labels).filter(([, value]) => value !== '')
  const files = upload.files.map(
    (file): ThanosFile => ({
      rel_path: file.relPath,
      size_bytes: file.sizeBytes,
      hash: { hashFunc: 'SHA256', value: file.sha256 },
    }),
  )
  files.push({ rel_path: 'meta.json' })
  files.sort((a, b) => compareText(a.rel_path, b.rel_path))
  const section = {
    version: 1,
    labels: Object.fromEntries(labels.sort(([a], [b]) => compareText(a, b))),
    downsample: { resolution: 0 },
    source: upload.source,
    segment_files: files.filter((file) => file.rel_path.startsWith('chunks/')).map((file) => file.rel_path.slice('chunks/'.length)),
    files,
  }
  return `${JSON.stringify({ ...meta, thanos: section }, undefined, '\t')}\n`
}

/** As BlockFileDigest, of an upload whose program may not have stored digests (Thanos by default does not). */
export type StoredBlockFile = Omit<BlockFileDigest, 'sha256'> & { sha256?: string }

/**
 * The files that `thanos.files` names, meta.json aside: `chunks/000001` and up without a gap, and `index`, sorted.
 * @throws DAMAGED when the section is absent, or names anything else, anything twice, or a digest that is none.
 */
export function parseThanosFiles(meta: BlockMeta): StoredBlockFile[] {
  const name = `meta.json of block ${meta.ulid}`
  if (meta.thanos?.files === undefined) throw damaged(`${name} does not list the block's files`)
  const files = meta.thanos.files.filter((file) => file.rel_path !== 'meta.json').map((file) => storedFile(file, name))
  files.sort((a, b) => compareText(a.relPath, b.relPath))
  const segments = files.filter((file) => file.relPath !== 'index')
  if (files.length !== segments.length + 1) throw damaged(`${name} lists ${files.length - segments.length} index files, not one`)
  segments.forEach((segment, i) => {
    const expected = chunkFilePath(i + 1)
    if (segment.relPath !== expected) throw damaged(`${name} lists ${segment.relPath} where ${expected} is expected`)
  })
  return files
}

/** `chunks/000001` for 1. */
export function chunkFilePath(sequence: number): string {
  return `chunks/${String(sequence).padStart(6, '0')}`
}

function storedFile(file: ThanosFile, name: string): StoredBlockFile {
  const shown = JSON.stringify(file.rel_path.slice(0, 100))
  if (!/^(?:index|chunks\/[0-9]{6})$/.test(file.rel_path)) throw damaged(`${name} lists ${shown}, which is no file of a block`)
  if (file.size_bytes === undefined) throw damaged(`${name} lists ${shown} without its size`)
  const stored: StoredBlockFile = { relPath: file.rel_path, sizeBytes: file.size_bytes }
  if (file.hash === undefined || file.hash.hashFunc === '') return stored
  const { hashFunc, value } = file.hash
  if (hashFunc !== 'SHA256' || !/^[0-9a-f]{64}$/.test(value)) throw damaged(`${name} lists ${shown} with a digest that is no SHA-256`)
  return { ...stored, sha256: value }
}

function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw damaged(`${name} is not JSON: ${(error as Error).message}`, error)
  }
}

/** The first integer literal of valid JSON that is not held exactly; `text` is scanned because JSON.parse rounds in silence. */
function unsafeInteger(text: string): string | undefined {
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*/g)) {
    if (/^-?[0-9]+$/.test(token) && !Number.isSafeInteger(Number(token))) return token
  }
  return undefined
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function damaged(message: string, cause?: unknown): PromDrError {
  return new PromDrError('DAMAGED', message, { hint: 'take the block from another copy; "prom-dr verify" lists what is damaged', cause })
}
