import { describe, expect, test } from 'vitest'
import type { NamedArchive } from '../../src/domain/archive.ts'
import { archiveBytes } from '../../src/domain/archive.ts'
import { recoveryPointBytes } from '../../src/domain/recovery-point.ts'
import { createDocument } from '../../src/repository/documents.ts'
import { recoveryPointKey } from '../../src/repository/layout.ts'
import { commitRecoveryPoint, readRecoveryPoint } from '../../src/repository/recovery-points.ts'
import { toManifest } from '../../src/repository/recovery-point-schema.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { namedArchive, storedRecoveryPoint } from '../fakes/recovery-points.ts'

const [id] = [storedRecoveryPoint().id]

async function readBack(archives: unknown[]) {
  const store = createMemoryStore()
  await createDocument(store, recoveryPointKey('prom-a', id), { ...toManifest(storedRecoveryPoint()), archives })
  return (await readRecoveryPoint(store, 'prom-a', { id })).archives
}

describe('the archives of a manifest', () => {
  test('are read as they were written, encrypted, external and empty ones too', async () => {
    const archives: NamedArchive[] = [
      namedArchive('alertmanager'),
      namedArchive('consul', { stored: { sha256: '2'.repeat(64), sizeBytes: 4, recipients: ['age1x'] }, leftOut: [{ path: '/etc/secret', reason: 'not encrypted' }] }),
      namedArchive('vm', { files: [], external: { prefix: `archives/vm/external/${id}/`, sizeBytes: 1_000, objects: 3 } }),
    ]
    const store = createMemoryStore()
    const point = storedRecoveryPoint({ archives })
    await commitRecoveryPoint(store, point)
    expect(await readRecoveryPoint(store, 'prom-a', { id })).toEqual(point)
    expect(recoveryPointBytes(point) - recoveryPointBytes({ ...point, archives: [] })).toBe(archives.reduce((sum, archive) => sum + archiveBytes(archive), 0))
  })

  test('may be none, as in manifests of the first version', async () => {
    expect(await readBack([])).toEqual([])
  })

  const [file] = namedArchive('files').files
  test.each<[string, object]>([
    ['a path that leads out', { files: [{ ...file, path: '../../etc/cron.d/x' }] }],
    ['an absolute path', { files: [{ ...file, path: '/etc/passwd' }] }],
    ['a file twice', { files: [file, file] }],
    ['a file that is a directory too', { files: [file, { ...file, path: `${file?.path}/x` }] }],
    ['a set-user-id bit', { files: [{ ...file, mode: 0o4755 }] }],
    ['a negative size', { files: [{ ...file, sizeBytes: -1 }] }],
    ['a component name that leads out', { component: '../prom-b' }],
    ['a digest that leads out', { stored: { sha256: '../x', sizeBytes: 1 } }],
    ['external data of another component', { external: { prefix: `archives/other/external/${id}/`, sizeBytes: 1, objects: 1 } }],
    ['external data anywhere', { external: { prefix: 'recovery-points/', sizeBytes: 1, objects: 1 } }],
  ])('are damage with %s', async (_, change) => {
    await expect(readBack([{ ...namedArchive('files'), ...change }])).rejects.toMatchObject({ code: 'DAMAGED' })
  })

  test('are damage where a component stands twice', async () => {
    await expect(readBack([namedArchive('files'), namedArchive('files')])).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('a component is archived once') })
  })
})

test('a recovery point of components alone names no blocks', async () => {
  const store = createMemoryStore()
  await expect(commitRecoveryPoint(store, storedRecoveryPoint({ head: { kind: 'none' } }))).rejects.toMatchObject({ code: 'INTERNAL' })
  const alone = storedRecoveryPoint({ head: { kind: 'none' }, blocks: [], archives: [namedArchive('files')] })
  await commitRecoveryPoint(store, alone)
  expect(await readRecoveryPoint(store, 'prom-a', { id })).toEqual(alone)
})
