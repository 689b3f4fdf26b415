import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { noProgress } from '../../src/domain/progress.ts'
import { recoveryPointId } from '../../src/domain/recovery-point.ts'
import { newUlid } from '../../src/domain/ulid.ts'
import type { RepositoryTiering } from '../../src/operations/backup/backup-context.ts'
import { readAhead } from '../../src/operations/backup/backup-inventory.ts'
import { type StoreOutcome, type StoreRequest, storeRecoveryPoint } from '../../src/operations/backup/backup-repository.ts'
import type { SnapshotBlock } from '../../src/operations/backup/snapshot-block.ts'
import type { Collection } from '../../src/operations/components/collect-components.ts'
import { SourceCheck } from '../../src/operations/backup/source-check.ts'
import { readOrCreateFormat } from '../../src/repository/format.ts'
import { clearDeadIntents } from '../../src/repository/intents.ts'
import { type Holder, acquireLease } from '../../src/repository/lease.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import type { Clock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { storedRecoveryPoint } from '../fakes/recovery-points.ts'

const hourMs = 3_600_000

/** Makes blocks that no Prometheus would take: small files under the right names. Their content differs by `nth` and `instance`. */
export async function makeFakeBlock(directory: string, of: { instance: string; nth: number; startMs: number; level?: number; sources?: string[]; tombstones?: boolean }): Promise<SnapshotBlock> {
  const minTime = of.startMs + of.nth * 2 * hourMs
  const ulid = newUlid(minTime + 2 * hourMs, createHash('sha256').update(`${of.instance} ${of.nth} ${of.level ?? 1}`).digest().subarray(0, 10))
  const path = join(directory, ulid)
  await mkdir(join(path, 'chunks'), { recursive: true })
  const files = []
  for (const relPath of ['index', 'chunks/000001']) {
    const bytes = Buffer.from(`${ulid} ${relPath}`.repeat(relPath === 'index' ? 2 : 5))
    await writeFile(join(path, relPath), bytes)
    files.push({ relPath, path: join(path, relPath), sizeBytes: bytes.length })
  }
  const level = of.level ?? 1
  return {
    meta: { ulid, version: 1, minTime, maxTime: minTime + 2 * hourMs * level, stats: { numSamples: 100, numSeries: 1, numChunks: 1 }, compaction: { level, sources: of.sources ?? [ulid] } },
    files,
    tombstones: of.tombstones === true ? Buffer.from(`tombstones of ${of.nth % 3}`) : undefined,
  }
}

export interface FakeBackup {
  instance: string
  blocks: readonly SnapshotBlock[]
  head: StoreRequest['head']
  clock: Clock
  random: string
  signal?: AbortSignal
  self?: Holder
  /** In the place of the files' own: what the bodies are read from. */
  check?: Pick<SourceCheck, 'body'>
  tiering?: RepositoryTiering
  /** Components that go with it. */
  collection?: Collection
}

/** One backup of a server that need not exist, into one repository, with everything that a real one does there. */
export async function backUp(store: ObjectStore, backup: FakeBackup): Promise<StoreOutcome> {
  const { instance, clock, signal = new AbortController().signal, self = thisProcess() } = backup
  const startedAtMs = clock.now().getTime()
  await readOrCreateFormat(store, clock.now(), { signal })
  const lease = await acquireLease({ store, instance, verb: 'backup', holder: self, isDead: () => false, signal })
  try {
    await clearDeadIntents(store, instance, { signal })
    const { blocks: _, head: _head, tiers: _tiers, cost: _cost, archives: _archives, knownAnswers, maxTime, ...point } = storedRecoveryPoint({ instance, createdAt: clock.now().getTime(), id: recoveryPointId(clock.now(), backup.random) })
    const ahead = Promise.resolve(await readAhead({ store, instance, createdAt: point.createdAt, timezone: 'UTC', signal }))
    return await storeRecoveryPoint({
      store, ahead, lease, point, measured: Promise.resolve({ knownAnswers, maxTime }), startedAtMs, tiering: backup.tiering,
      blocks: backup.blocks, damaged: [], head: backup.head, check: (backup.check ?? new SourceCheck()) as SourceCheck, collection: backup.collection ?? { collected: [], failed: [], warnings: [], findings: Promise.resolve([]), inTurn: pLimit(1) }, place: undefined,
      compactedSpanMs: 24 * hourMs, timezone: 'UTC', now: () => clock.now(), sleep: (durationMs: number) => clock.sleep(durationMs, signal),
      limit: pLimit(2), progress: noProgress, logger: silentLogger, signal,
    })
  } finally {
    await lease.release()
  }
}
