import { mkdtemp, mkdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shipExitCode } from '../../../src/cli/commands/ship.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { atEndOfFile, temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, shipOnce, startShipping } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'
import { waitFor } from '../../support/wait-for.ts'

/** A file system that every Linux has beside those on disks. */
const elsewhere = '/dev/shm'

/** A server whose log lies on a file system of its own, as on a faster disk: no hard link leads there from the data directory. */
async function scene() {
  const dataDir = join(await temporaryDirectory('unheld'), 'data')
  const onOther = await mkdtemp(join(elsewhere, 'prom-dr-unheld-'))
  atEndOfFile(() => rm(onOther, { recursive: true, force: true }))
  await mkdir(dataDir)
  expect((await stat(onOther)).dev).not.toBe((await stat(dataDir)).dev)
  await symlink(onOther, join(dataDir, 'wal'))
  const wal = await SimulatedWal.create(dataDir)
  await wal.append(5)
  return { wal, dataDir, store: createMemoryStore() }
}

function endOf({ last: { segment, end } }: SimulatedWal): string {
  return `${String(segment).padStart(8, '0')}:${end}`
}

describe('a log whose segments cannot be held', () => {
  it('is shipped again and again, and what that may cost is told once', async () => {
    const { wal, dataDir, store } = await scene()
    const told: unknown[] = []
    const logger = { ...silentLogger, info: () => undefined, warn: () => undefined, error: (fields: object) => void told.push(fields) } as typeof silentLogger
    const running = startShipping(noServer, store, { dataDir, logger, settings: { intervalMs: 50 } })
    for (let pass = 0; pass < 3; pass += 1) {
      await wal.append(5)
      await wal.rotate(true)
      await wal.append(5)
      const end = endOf(wal)
      const [segment, offset] = end.split(':')
      await waitFor(() => [...store.objects.keys()].some((key) => key.includes(`/wal/${segment}/`) && key.includes(`-${String(offset).padStart(12, '0')}-`)), { what: `the log up to ${end}` })
    }
    const report = await running.stop()
    expect(report).toMatchObject({ shippedTo: endOf(wal), repositories: [{ ok: true, gaps: [] }] })
    expect(report.warnings).toContainEqual(expect.stringMatching(/^segments of the wal cannot be held.*EXDEV/))
    expect(shipExitCode(report)).toBe(0)
    expect(told).toMatchObject([{ log: 'wal', code: 'FILE_SYSTEM' }])
  })

  it('is shipped once too where it would stay held until the next time', async () => {
    const { wal, dataDir, store } = await scene()
    await mkdir(join(dataDir, 'wbl'))
    await writeFile(join(dataDir, 'wbl', '00000000'), '')
    const report = await shipOnce(noServer, store, { dataDir })
    expect(report).toMatchObject({ shippedTo: endOf(wal), warnings: [expect.any(String), expect.stringContaining('EXDEV')] })
  })
})
