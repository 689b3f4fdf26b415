import type { NamedArchive } from '../../src/domain/archive.ts'
import { type NamedBlock, type RecoveryPoint, recoveryPointId } from '../../src/domain/recovery-point.ts'
import { newUlid } from '../../src/domain/ulid.ts'
import type { StoredRecoveryPoint } from '../../src/repository/recovery-point-schema.ts'

export const hourMs = 3_600_000
export const firstMs = Date.UTC(2026, 10, 21)

/** A block of two hours, `at` blocks after the first, written an hour after its end. */
export function namedBlock(at: number, more: Partial<NamedBlock> = {}): NamedBlock {
  const minTime = firstMs + at * 2 * hourMs
  return {
    ulid: newUlid(minTime + 3 * hourMs, new Uint8Array(10).fill(at)),
    minTime,
    maxTime: minTime + 2 * hourMs,
    level: 1,
    inOrder: true,
    numSeries: 10,
    numSamples: 4_800,
    numChunks: 40,
    files: { index: 1_000, 'chunks/000001': 9_000, 'meta.json': 700 },
    metaSha256: at.toString(16).padStart(64, '0'),
    ...more,
  }
}

/** A recovery point of a server with two blocks and an empty head. */
export function recoveryPoint(more: Partial<RecoveryPoint> = {}): RecoveryPoint {
  const createdAt = more.createdAt ?? firstMs + 5 * hourMs + 123
  const blocks = more.blocks ?? [namedBlock(0), namedBlock(1)]
  return {
    id: recoveryPointId(new Date(createdAt), 'a1b2c3'),
    instance: 'prom-a',
    createdAt,
    minTime: blocks[0]?.minTime ?? null,
    maxTime: blocks.length === 0 ? null : createdAt - 1_500,
    tiers: ['hourly'],
    source: {
      prometheusVersion: '2.42.0',
      hostname: 'mon-1',
      dataDir: '/var/lib/prometheus/metrics2',
      owner: { uid: 106, gid: 113, user: 'prometheus', group: null },
      retention: { timeMs: 15 * 24 * hourMs, sizeBytes: null },
      externalLabels: { replica: 'a' },
      flags: { 'storage.tsdb.path': '/var/lib/prometheus/metrics2' },
    },
    blocks,
    head: { kind: 'empty' },
    archives: [],
    knownAnswers: { seed: '', series: [], queries: [], dropped: 0 },
    cost: { uploadedBytes: 1, reusedBytes: 2, durationMs: 3 },
    ...more,
  }
}

/** As `recoveryPoint`, with known answers as a manifest has them: of no series. */
export function storedRecoveryPoint(more: Partial<Omit<RecoveryPoint, 'knownAnswers'>> = {}): StoredRecoveryPoint {
  const { knownAnswers: _, ...point } = recoveryPoint(more)
  return { ...point, knownAnswers: { seed: '', series: [], samples: 'Ow==', queries: [], dropped: 0 } }
}

/** An archive of one file. */
export function namedArchive(component: string, more: Partial<NamedArchive> = {}): NamedArchive {
  return {
    component,
    kind: 'files',
    contentSha256: '1'.repeat(64),
    stored: { sha256: 'f'.repeat(64), sizeBytes: 300 },
    files: [{ path: 'etc/app.conf', sizeBytes: 20, sha256: '3'.repeat(64), mode: 0o640 }],
    leftOut: [],
    ...more,
  }
}
