import { join } from 'node:path'
import { type PromDrError, hasCode } from '../../errors.ts'
import type { SourceDamage } from './ship-report.ts'

/** Of the number that a segment's file is named by. */
export function segmentOf(path: string): number {
  return Number(/(\d{8,})$/.exec(path)?.[1] ?? 0)
}

/** What the reader of a segment said (DAMAGED), as a report tells it. */
export function sourceDamageOf({ message, details }: Pick<PromDrError, 'message' | 'details'>): SourceDamage {
  const path = typeof details?.['file'] === 'string' ? details['file'] : ''
  return { path, segment: segmentOf(path), offset: Number(details?.['offset'] ?? 0), message }
}

/** The damage by which a checkpoint of the server's failed a pass; undefined for any other failure. */
export function checkpointDamageOf(error: unknown, dataDir: string): SourceDamage | undefined {
  if (!hasCode(error, 'DAMAGED')) return undefined
  const damage = sourceDamageOf(error)
  return damage.path.startsWith(join(dataDir, 'wal', 'checkpoint.')) ? damage : undefined
}
