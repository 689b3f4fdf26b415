import { createHash } from 'node:crypto'
import { seededRandom } from '../../src/domain/seeded-choice.ts'
import { newUlid } from '../../src/domain/ulid.ts'
import { hasCode } from '../../src/errors.ts'
import { retentionOf } from '../../src/domain/retention.ts'
import { expire } from '../../src/operations/expire/expire.ts'
import type { SnapshotBlock } from '../../src/operations/backup/snapshot-block.ts'
import { deletionDelayMs } from '../../src/repository/deletion-marks.ts'
import { readOrCreateFormat } from '../../src/repository/format.ts'
import { storeTombstones } from '../../src/repository/tombstones.ts'
import { createGeneration, storeDeletion } from '../../src/repository/wal-stream.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { backUp } from './fake-server.ts'
import { Race } from './race.ts'
import { missingIn, pointsIn, unnamedIn } from './wholeness.ts'

const hourMs = 3_600_000
const generation = '20260101T000000Z-aaaaaaaa'

export interface RaceOutcome {
  steps: number
  leaps: number
  backups: number
  /** Backups that found what they named gone, and committed nothing. */
  contended: number
  expiries: number
  /** Expiries that met a manifest which could not be read. */
  refused: number
  killed: number
  deletedBlocks: number
  shipped: number
  /** Files that restores read, also of recovery points that expired meanwhile. */
  restored: number
  missing: string[]
  unnamed: string[]
}

/**
 * Two expiries, backups of two instances and a ship on one repository for some simulated weeks: backups that outlive the delay, with and
 * without a sign of life, marks that come of age in the middle, manifests that cannot be read for a while, runs that are killed.
 */
export async function raceExpiries(seed: string, { calls = 2_500 } = {}): Promise<RaceOutcome> {
  const random = seededRandom(seed)
  const outcome: RaceOutcome = { steps: 0, leaps: 0, backups: 0, contended: 0, expiries: 0, refused: 0, killed: 0, deletedBlocks: 0, shipped: 0, restored: 0, missing: [], unnamed: [] }
  const silent = new Set<string>()
  const race = new Race(random, {
    check({ store }) {
      const missing = missingIn(store, { stream: false })
      if (missing.length > 0) throw new Error(`seed ${seed}: ${missing.slice(0, 3).join('; ')}`)
    },
    // A live run refreshes its intent each hour, also while its uploads take days.
    onLeap({ store, clock }) {
      for (const [key, object] of store.objects) if (key.includes('/intents/') && !silent.has(key.split('/')[1] as string)) store.objects.set(key, { ...object, modifiedAt: clock.now() })
    },
  })
  const servers = { 'prom-a': createServer('prom-a', race), 'prom-b': createServer('prom-b', race) }
  await readOrCreateFormat(race.store, race.clock.now())
  for (const instance of ['prom-a', 'prom-b'] as const) startBackups(instance)
  for (const instance of ['prom-a', 'prom-b'] as const) startExpiries(instance)
  startShip()
  startRestores()
  await race.run(() => race.steps >= calls)
  for (const actor of ['backup prom-a', 'backup prom-b', 'expire prom-a', 'expire prom-b', 'ship', 'restore']) race.kill(actor)
  race.heal()
  await finish()
  return { ...outcome, steps: race.steps, leaps: race.leaps }

  function startBackups(instance: 'prom-a' | 'prom-b'): void {
    const actor = `backup ${instance}`
    race.start(actor, async () => {
      for (;;) {
        const clock = race.clockOf(actor)
        await clock.sleep(race.pick(9 * hourMs))
        if (race.chance(0.2)) silent.add(instance)
        else silent.delete(instance)
        try {
          await make(instance, actor)
          outcome.backups += 1
        } catch (error) {
          // Another host has taken over, or what was named has gone: nothing was committed.
          if (hasCode(error, 'CONTENTION')) outcome.contended += 1
          else if (!hasCode(error, 'LOCKED', 'LEASE_LOST', 'DAMAGED')) throw error
        }
        killSomebody(instance)
      }
    })
  }

  /** A process dies in the middle; cron starts the next. */
  function killSomebody(instance: 'prom-a' | 'prom-b'): void {
    const other = instance === 'prom-a' ? 'prom-b' : 'prom-a'
    if (!race.chance(0.15)) return
    const victim = race.chance(0.5) ? `backup ${other}` : `expire ${other}`
    race.kill(victim)
    outcome.killed += 1
    if (victim.startsWith('backup')) startBackups(other)
    else startExpiries(other)
  }

  async function make(instance: 'prom-a' | 'prom-b', actor: string): Promise<void> {
    const { blocks, head } = servers[instance].snapshot()
    const random6 = String(race.pick(1_000_000)).padStart(6, '0')
    await backUp(race.storeOf(actor), { instance, clock: race.clockOf(actor), random: random6, blocks, head, check: memoryBodies })
  }

  function startExpiries(instance: string): void {
    const actor = `expire ${instance}`
    race.start(actor, async () => {
      for (;;) {
        await race.clockOf(actor).sleep(race.pick(20 * hourMs))
        const manifests = [...race.store.objects.keys()].filter((key) => key.includes('/recovery-points/'))
        if (race.chance(0.15) && manifests.length > 0) race.spoil(manifests[race.pick(manifests.length)] as string)
        else if (race.chance(0.5)) race.heal()
        try {
          const report = await runExpiry(instance, actor, race.chance(0.2))
          outcome.expiries += 1
          outcome.deletedBlocks += report.deletedBlocks
        } catch (error) {
          if (hasCode(error, 'DAMAGED')) outcome.refused += 1
          else if (!hasCode(error, 'LOCKED', 'LEASE_LOST', 'CONTENTION', 'REPOSITORY_NOT_FOUND', 'INSTANCE_NOT_FOUND')) throw error
        }
      }
    })
  }

  function runExpiry(instance: string, actor: string, allInstances: boolean) {
    const store = actor === '' ? race.store : race.storeOf(actor)
    const clock = actor === '' ? race.clock : race.clockOf(actor)
    return expire({ instance, repositories: [{ name: 'primary', store, retention: retentionOf({ keepLast: 2 }) }], timezone: 'UTC', self: thisProcess(), isDead: () => false, clock, logger: silentLogger, signal: new AbortController().signal }, { allInstances, repositories: [], apply: true })
  }

  function startShip(): void {
    race.start('ship', async () => {
      const store = race.storeOf('ship')
      await createGeneration(store, 'prom-a', { generation: { id: generation, startedAt: race.nowMs, reason: 'the first', parent: null, firstSegment: 0, checkpoint: null, bound: null, gap: null, machineId: 'm', dataDir: '/d' } })
      for (;;) {
        await race.clockOf('ship').sleep(race.pick(30 * hourMs))
        const { sha256, sizeBytes } = await storeTombstones(store, 'prom-a', { bytes: tombstonesOf(race.pick(3)) })
        await storeDeletion(store, 'prom-a', { generation, deletion: { ulid: ulidOf('prom-a', race.pick(20)), seenAt: race.nowMs, sha256, sizeBytes } }).catch((error: unknown) => {
          if (!hasCode(error, 'OBJECT_EXISTS')) throw error
        })
        outcome.shipped += 1
        // The window moves on: what it named is named no more.
        const [old] = [...race.store.objects.keys()].filter((key) => key.includes('/deletions/'))
        if (race.chance(0.6) && old !== undefined) await store.delete([old])
      }
    })
  }

  /** Reads what a recovery point names for up to the delay: whatever expires meanwhile has to be there. */
  function startRestores(): void {
    race.start('restore', async () => {
      const clock = race.clockOf('restore')
      for (;;) {
        await clock.sleep(race.pick(3 * hourMs))
        const points = pointsIn(race.store)
        const point = points[race.pick(points.length)]
        if (point === undefined) continue
        const startedAtMs = race.nowMs
        for (const { ulid, files } of point.blocks) {
          for (const path of Object.keys(files)) {
            const found = race.store.objects.has(`blocks/${ulid}/${path}`)
            if (race.nowMs - startedAtMs >= deletionDelayMs) break
            outcome.restored += 1
            if (!found) throw new Error(`seed ${seed}: a restore of ${point.id} that began ${race.nowMs - startedAtMs} ms ago misses blocks/${ulid}/${path}`)
          }
          await clock.sleep(race.pick(11 * hourMs))
        }
      }
    })
  }

  /** Everybody has stopped: one more backup of each, and expiry until all marks have come of age. */
  async function finish(): Promise<void> {
    race.clock.advance(deletionDelayMs)
    for (const instance of ['prom-a', 'prom-b'] as const) {
      const { blocks, head } = servers[instance].snapshot()
      await backUp(race.store, { instance, clock: race.clock, random: 'zzzzzz', blocks, head, check: memoryBodies })
    }
    for (let run = 0; run < 3; run += 1) {
      for (const instance of ['prom-a', 'prom-b']) await runExpiry(instance, '', false)
      race.clock.advance(deletionDelayMs + hourMs)
    }
    outcome.missing = missingIn(race.store)
    outcome.unnamed = unnamedIn(race.store)
  }
}

const bodyOf = (path: string) => Buffer.from(path.repeat(3))

/** What a block's files hold, without a disk: their order in time is the race's alone. */
export const memoryBodies = {
  body: (_block: SnapshotBlock, file: { path: string; sizeBytes: number }) => ({
    sizeBytes: file.sizeBytes,
    async *open() {
      yield bodyOf(file.path)
    },
  }),
  findings: () => [],
}

function ulidOf(instance: string, nth: number): string {
  return newUlid(Date.UTC(2025, 0, 1) + nth * 2 * hourMs, createHash('sha256').update(`${instance} ${nth}`).digest().subarray(0, 10))
}

function tombstonesOf(nth: number): Buffer {
  return Buffer.from(`tombstones ${nth}`)
}

/** A server whose blocks come and go; sometimes older ones are back, as after a restore. */
export function createServer(instance: string, race: Race) {
  let newest = 4
  let heads = 0
  const block = (nth: number): SnapshotBlock => {
    const ulid = ulidOf(instance, nth)
    const minTime = Date.UTC(2025, 0, 1) + (nth - 1) * 2 * hourMs
    const files = ['index', 'chunks/000001'].map((relPath) => ({ relPath, path: `${ulid}/${relPath}`, sizeBytes: bodyOf(`${ulid}/${relPath}`).length }))
    return { meta: { ulid, version: 1, minTime, maxTime: minTime + 2 * hourMs, stats: { numSamples: 100, numSeries: 1, numChunks: 1 }, compaction: { level: 1, sources: [ulid] } }, files, tombstones: nth % 4 === 0 ? tombstonesOf(nth % 3) : undefined }
  }
  return {
    snapshot() {
      newest = race.chance(0.25) ? Math.max(4, newest - race.pick(8)) : newest + race.pick(3)
      const blocks = Array.from({ length: 4 }, (_, at) => block(newest - at))
      heads += 1
      // Never the same twice: it would be compared with files on a disk.
      return { blocks, head: race.chance(0.5) ? block(1_000 + heads) : ('empty' as const) }
    },
  }
}
