import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shipExitCode } from '../../../src/cli/commands/ship.ts'
import { PromDrError } from '../../../src/errors.ts'
import { listPieces, readGenerations } from '../../../src/repository/wal-stream.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, startShipping } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'
import { waitFor } from '../../support/wait-for.ts'

/** Longer than any test: after the first pass nothing but a last look sends anything. */
const intervalMs = 3_600_000

async function scene() {
  const wal = await SimulatedWal.create(join(await temporaryDirectory('last-look'), 'data'))
  await wal.append(10)
  return { wal, store: createMemoryStore() }
}

async function endOf(store: ObjectStore): Promise<string | undefined> {
  const generation = (await readGenerations(store, 'prom-a')).at(-1)?.id
  if (generation === undefined) return undefined
  const last = (await listPieces(store, 'prom-a', { generation, log: 'wal' })).at(-1)
  return last && `${String(last.segment).padStart(8, '0')}:${last.end}`
}

function endOfLog({ last }: SimulatedWal): string {
  return `${String(last.segment).padStart(8, '0')}:${last.end}`
}

/** Answers as the store does until it is told to hang; then whatever is created never arrives. */
function hangingStore(store: ObjectStore): ObjectStore & { hang(): void; asked: number } {
  let hangs = false
  const hanging = {
    ...store,
    asked: 0,
    hang: () => void (hangs = true),
    create: (...args: Parameters<ObjectStore['create']>): ReturnType<ObjectStore['create']> => {
      if (!hangs) return store.create(...args)
      hanging.asked += 1
      const signal = args[2]?.signal
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new PromDrError('INTERRUPTED', 'interrupted')), { once: true }))
    },
  }
  return hanging
}

describe('shipping that is interrupted', () => {
  it('sends what was logged since the last pass before it ends', async () => {
    const { wal, store } = await scene()
    const running = startShipping(noServer, store, { dataDir: wal.dataDir, settings: { intervalMs } })
    await waitFor(async () => (await endOf(store)) === endOfLog(wal), { what: 'the first pass' })
    await wal.append(10)
    const report = await running.stop()
    expect(await endOf(store)).toBe(endOfLog(wal))
    expect(report).toMatchObject({ shippedTo: endOfLog(wal), repositories: [{ ok: true }] })
    expect(shipExitCode(report)).toBe(0)
  })

  it('sends it also where nothing had been sent yet', async () => {
    const { wal, store } = await scene()
    const running = startShipping(noServer, store, { dataDir: wal.dataDir, settings: { intervalMs } })
    expect(await running.stop()).toMatchObject({ shippedTo: endOfLog(wal) })
    expect(await endOf(store)).toBe(endOfLog(wal))
  })

  it('waits five seconds for a repository that does not answer, and loses nothing in the others', async () => {
    const { wal, store } = await scene()
    const away = hangingStore(createMemoryStore())
    const running = startShipping(noServer, [{ name: 'away', store: away }, { name: 'here', store }], { dataDir: wal.dataDir, settings: { intervalMs } })
    await waitFor(async () => (await endOf(store)) === endOfLog(wal) && (await endOf(away)) === endOfLog(wal), { what: 'the first pass' })
    const before = endOfLog(wal)
    await wal.append(10)
    away.hang()
    const report = await running.stop()
    expect(away.asked).toBe(1)
    expect(await endOf(store)).toBe(endOfLog(wal))
    expect(report.repositories).toMatchObject([{ name: 'away', ok: false, shippedTo: before, error: { code: 'INTERRUPTED', message: expect.stringContaining('within 5 s') } }, { name: 'here', ok: true, shippedTo: endOfLog(wal) }])
    expect(shipExitCode(report)).toBe(3)
  })

  it('begins no new generation because the data directory is gone already', async () => {
    const { wal, store } = await scene()
    const running = startShipping(noServer, store, { dataDir: wal.dataDir, settings: { intervalMs } })
    await waitFor(async () => (await endOf(store)) === endOfLog(wal), { what: 'the first pass' })
    await rm(wal.dataDir, { recursive: true })
    expect(await running.stop()).toMatchObject({ shippedTo: endOfLog(wal), repositories: [{ ok: true, gaps: [] }] })
    expect(await readGenerations(store, 'prom-a')).toHaveLength(1)
  })
})
