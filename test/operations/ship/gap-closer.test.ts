import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PromDrError } from '../../../src/errors.ts'
import type { BackupReport } from '../../../src/operations/backup/backup-report.ts'
import { type BackUp, type ClosedTarget, GapCloser } from '../../../src/operations/ship/gap-closer.ts'
import type { Generation } from '../../../src/repository/wal-stream.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { type Clock, systemClock } from '../../../src/system/clock.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { createFaultyStore } from '../../fakes/faulty-store.ts'
import { createManualClock } from '../../fakes/manual-clock.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, startShipping } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'
import { waitFor } from '../../support/wait-for.ts'

const { signal } = new AbortController()
const minuteMs = 60_000

function generation(id: string, over: Partial<Generation> = {}): Generation {
  return { id, startedAt: 1, reason: 'test', parent: null, firstSegment: 0, checkpoint: null, bound: null, gap: { from: 1, to: 2, reason: 'segment 00000007 is gone' }, machineId: 'm', dataDir: '/data', ...over }
}

/** A backup that answers as it is told to. */
function scene(options: { names?: string[]; generation?: Generation } = {}) {
  const { names = ['primary'] } = options
  const asked: string[][] = []
  let answer: (names: string[]) => BackupReport = (repositories) => reportOf('20261121T030000Z-79535b5f', repositories)
  const backUp: BackUp = async ({ repositories }) => {
    asked.push(repositories)
    return answer(repositories)
  }
  const clock = createManualClock()
  const targets = names.map((name) => ({ repository: { name, store: createMemoryStore() as ObjectStore }, shipper: { generation: options.generation ?? generation('20261121T010000Z-aaaaaaaa'), damagedSinceMs: undefined as number | undefined } }))
  const closer = new GapCloser({ instance: 'prom-a', backUp, clock, logger: silentLogger }, targets)
  return { asked, clock, targets, closer, close: () => closer.close(signal), answerWith: (next: typeof answer) => void (answer = next) }
}

function reportOf(id: string, names: readonly string[], failed: readonly string[] = []): BackupReport {
  const repositories = names.map((name) => ({ name, ok: !failed.includes(name), ...(failed.includes(name) && { error: { code: 'STORE_UNREACHABLE', message: 'away' } }) }))
  return { recoveryPoint: { id }, repositories } as unknown as BackupReport
}

function fail(code: 'ADMIN_API_DISABLED' | 'LOCKED'): never {
  throw new PromDrError(code, 'it did not work', { hint: 'try' })
}

describe('a gap in what is shipped', () => {
  it('is followed by one backup for all repositories that have it', async () => {
    const { asked, closer, close, clock } = scene({ names: ['near', 'far'] })
    await close()
    expect(asked).toEqual([['near', 'far']])
    expect(closer.made).toMatchObject([{ repository: 'near', ok: true, recoveryPoint: '20261121T030000Z-79535b5f', reason: expect.stringContaining('00000007') }, { repository: 'far', ok: true }])
    clock.advance(59 * minuteMs)
    await close()
    expect(asked).toHaveLength(1)
  })

  it('is followed by another backup where one failed, after longer and longer pauses up to an hour', async () => {
    const { asked, closer, close, clock, answerWith } = scene()
    answerWith(() => fail('ADMIN_API_DISABLED'))
    await close()
    expect(closer.made).toEqual([{ repository: 'primary', reason: expect.stringContaining('gap'), ok: false, recoveryPoint: null, error: { code: 'ADMIN_API_DISABLED', message: 'it did not work', hint: 'try' } }])
    const pausesMinutes: number[] = []
    for (let minutes = 0; asked.length < 9; minutes += 1) {
      const before = asked.length
      clock.advance(minuteMs)
      await close()
      if (asked.length > before) pausesMinutes.push(minutes + 1 - pausesMinutes.reduce((sum, pause) => sum + pause, 0))
    }
    expect(pausesMinutes).toEqual([1, 2, 4, 8, 16, 32, 60, 60])
    answerWith((names) => reportOf('20261121T040000Z-79535b5f', names))
    clock.advance(60 * minuteMs)
    await close()
    expect(closer.made).toMatchObject([{ ok: true, recoveryPoint: '20261121T040000Z-79535b5f' }])
  })

  it('is tried again only in the repository where it failed', async () => {
    const { asked, closer, close, clock, answerWith } = scene({ names: ['near', 'far'] })
    answerWith((names) => reportOf('20261121T030000Z-79535b5f', names, ['far']))
    await close()
    expect(closer.made).toMatchObject([{ repository: 'near', ok: true }, { repository: 'far', ok: false, error: { code: 'STORE_UNREACHABLE' } }])
    clock.advance(minuteMs)
    await close()
    expect(asked).toEqual([['near', 'far'], ['far']])
  })

  it('is no failure while another backup runs, whose recovery point may do', async () => {
    const { asked, closer, close, clock, answerWith } = scene()
    answerWith(() => fail('LOCKED'))
    await close()
    expect(closer.made).toEqual([])
    expect(closer.warnings).toEqual([expect.stringContaining('--head always')])
    clock.advance(minuteMs)
    await close()
    expect(asked).toHaveLength(2)
  })

  it('in a new generation is seen at once', async () => {
    const { asked, closer, close, targets } = scene()
    await close()
    for (const target of targets) target.shipper = { generation: generation('20261121T020000Z-bbbbbbbb'), damagedSinceMs: undefined }
    closer.notice()
    await close()
    expect(asked).toHaveLength(2)
  })

  it('that samples are in a block and in no log is seen at once', async () => {
    const { asked, closer, close, targets } = scene({ generation: generation('20261121T010000Z-aaaaaaaa', { gap: null, blocks: 0, source: {} as never }) })
    await close()
    expect(asked).toEqual([])
    const [target] = targets as ClosedTarget[]
    if (target?.shipper !== undefined) target.shipper = { ...target.shipper, lateSinceMs: Date.now() }
    closer.notice()
    await close()
    expect(asked).toHaveLength(1)
    expect(closer.made).toMatchObject([{ ok: true, reason: expect.stringContaining('out-of-order') }])
  })

  it('is only told of where recovery points are the operator\'s', async () => {
    const { targets, clock } = scene()
    const closer = new GapCloser({ instance: 'prom-a', backUp: undefined, clock, logger: silentLogger }, targets)
    await closer.close(signal)
    expect(closer.made).toEqual([])
    expect(closer.warnings).toEqual(['primary: there is a gap in the shipped log: segment 00000007 is gone: run "prom-dr backup --head always"'])
  })
})

describe('a log without any recovery point', () => {
  it('leaves the operator a minute to make the first', async () => {
    const { asked, closer, close, clock } = scene({ generation: generation('20261121T010000Z-aaaaaaaa', { gap: null }) })
    await close()
    expect(asked).toEqual([])
    expect(closer.warnings).toEqual(['primary: there is no recovery point that the shipped log could be replayed onto: run "prom-dr backup"'])
    clock.advance(minuteMs)
    await close()
    expect(asked).toEqual([['primary']])
    expect(closer.warnings).toEqual([])
  })
})

describe('a repository that cannot be read', () => {
  it('is looked at again a minute later', async () => {
    const { asked, close, clock, targets } = scene()
    const [target] = targets as [(typeof targets)[0]]
    const faulty = createFaultyStore(target.repository.store, [{ verb: 'any', call: 1, at: 'before' }])
    target.repository = { name: 'primary', store: faulty }
    await close()
    expect(faulty.fired).toHaveLength(1)
    expect(asked).toEqual([])
    clock.advance(minuteMs)
    await close()
    expect(asked).toHaveLength(1)
  })
})

describe('a backup that takes long', () => {
  it('keeps no tail waiting, and ends with shipping', async () => {
    const wal = await SimulatedWal.create(join(await temporaryDirectory('gap'), 'data'))
    await wal.append(10)
    const store = createMemoryStore()
    let begun = false
    let ended = false
    const running = startShipping(noServer, store, {
      dataDir: wal.dataDir, clock: hastyClock(100), settings: { intervalMs: 10_000 },
      backUp: ({ signal: until }) => {
        begun = true
        return new Promise((_, reject) => until.addEventListener('abort', () => {
          ended = true
          reject(until.reason)
        }, { once: true }))
      },
    })
    const shipped = () => [...store.objects.keys()].filter((key) => /\/wal\/\d{8}\//.test(key)).length
    await waitFor(() => begun, { what: 'the backup' })
    for (let part = 1; part < 4; part += 1) {
      const before = shipped()
      await wal.append(10)
      await waitFor(() => shipped() > before, { what: 'the next part' })
    }
    expect(ended).toBe(false)
    await running.stop()
    expect(ended).toBe(true)
  })
})

/** Time passes `factor` times as fast for whoever waits. */
function hastyClock(factor: number): Clock {
  return { now: systemClock.now, monotonicMs: () => systemClock.monotonicMs() * factor, sleep: (durationMs, until) => systemClock.sleep(durationMs / factor, until) }
}
