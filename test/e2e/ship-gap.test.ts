import { describe, expect, it } from 'vitest'
import { shipExitCode } from '../../src/cli/commands/ship.ts'
import { list } from '../../src/operations/report/list.ts'
import type { ShipReport } from '../../src/operations/ship/ship-report.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { promDr } from '../cli/launcher.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { damageWhatIsLogged } from '../support/damaged-log.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { differences, restored, samplesOf } from '../support/shipped-server.ts'
import { startWrittenServer } from '../support/written-server.ts'

describe.skipIf(missingPrograms('prometheus'))('a log that is damaged on the server\'s disk while the server runs', () => {
  it('is followed by a recovery point with what the server has in memory, which it would lose at its next start', async () => {
    const { server, operations, write, ship, samples } = await startWrittenServer()
    await write(5)
    await operations.backup()
    await ship()
    const size = await damageWhatIsLogged(server.dataDir, () => write(5))
    await write(5)
    const source = await samples()
    const report = await ship()
    expect(report.corruption).toMatchObject([{ segment: 0, offset: size }])
    expect(report.backups).toMatchObject([{ ok: true, reason: expect.stringContaining('damaged') }])
    expect(shipExitCode(report)).toBe(5)
    // Not again and again: the next is due in a quarter of an hour.
    expect((await ship()).backups).toEqual([])
    await server.kill()
    await restored(operations, { at: { kind: 'recovery-point', id: report.backups[0]?.recoveryPoint ?? '' } }, async (api) => expect(differences(source, await samplesOf(api, { endMs: Date.now() }))).toEqual([]))
  })
})

async function pointsIn(store: ObjectStore) {
  const report = await list({ repositories: [{ name: 'primary', store }], signal: new AbortController().signal }, { repositories: [] })
  return report.instances[0] ?? { recoveryPoints: [], recoverable: [], gaps: [] }
}

describe.skipIf(missingPrograms('prometheus'))('shipping that stood still for longer than the server keeps its log', () => {
  it('makes a recovery point at once, from which on every moment can be reached again', async () => {
    const { server, store, operations, write, writeUntilGone, ship, samples } = await startWrittenServer()
    await write(5)
    await ship()
    await operations.backup()
    await writeUntilGone(0)

    const report = await ship()
    expect(report.repositories).toMatchObject([{ ok: true, gaps: [{ reason: expect.stringContaining('00000000') }] }])
    const made = report.backups[0]?.recoveryPoint
    expect(report.backups).toEqual([{ repository: 'primary', ok: true, recoveryPoint: made, reason: expect.stringContaining('gap') }])
    expect(shipExitCode(report)).toBe(0)
    const { recoveryPoints, recoverable, gaps } = await pointsIn(store)
    expect(recoveryPoints.find(({ id }) => id === made)).toMatchObject({ head: 'stored' })
    expect(gaps).toHaveLength(1)
    // Nothing more is needed by the next pass.
    await write(8)
    const next = await ship()
    expect(next).toMatchObject({ backups: [], warnings: [], unknownRecords: [], repositories: [{ gaps: [] }] })
    expect((await pointsIn(store)).recoverable.length).toBeGreaterThanOrEqual(recoverable.length)

    const source = await samples()
    await server.kill()
    await restored(operations, {}, async (api, { stoppedBy }) => {
      expect(stoppedBy).toBe('end')
      expect(differences(source, await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  })

  it('makes it from the command line too, unless it is told not to', async () => {
    const { server, root, write, writeUntilGone } = await startWrittenServer()
    const cwd = await temporaryDirectory('ship-gap')
    const shipOnce = async (settings: Record<string, string> = {}) => {
      const { code, stdout, stderr } = await promDr(['ship', '--once', '--json'], { cwd, env: { PROM_DR_PROMETHEUS_URL: server.url, PROM_DR_INSTANCE: 'prom-a', PROM_DR_REPOSITORY_URL: `file://${root}`, ...settings } })
      expect(code, stderr).toBe(0)
      return JSON.parse(stdout) as ShipReport
    }
    await write(5)
    await shipOnce()
    await writeUntilGone(0)
    const told = await shipOnce({ PROM_DR_SHIP_BACKUP_AFTER_GAP: 'false' })
    expect(told).toMatchObject({ backups: [], warnings: [expect.stringContaining('prom-dr backup --head always')], repositories: [{ gaps: [expect.anything()] }] })
    expect((await shipOnce()).backups).toMatchObject([{ ok: true, recoveryPoint: expect.stringMatching(/^20/), reason: expect.stringContaining('gap') }])
    expect(await shipOnce()).toMatchObject({ backups: [], warnings: [] })
  })

  it('says what stood in the way where it could make none, and goes on shipping', async () => {
    const { store, write, writeUntilGone, ship } = await startWrittenServer({ adminApi: false })
    await write(5)
    // All that the server ever had: it needs no recovery point yet.
    expect(await ship()).toMatchObject({ backups: [], warnings: [] })
    await writeUntilGone(0)
    const report = await ship()
    expect(report.backups).toMatchObject([{ ok: false, recoveryPoint: null, error: { code: 'ADMIN_API_DISABLED', hint: expect.any(String) } }])
    expect(shipExitCode(report)).toBe(3)
    expect((await pointsIn(store)).recoveryPoints).toEqual([])
    // It is still needed, and asked for again.
    expect((await ship()).backups).toMatchObject([{ ok: false }])
  })
})
