import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { verify } from '../../../src/operations/verify/verify.ts'
import type { VerifyRequest } from '../../../src/operations/verify/verify-report.ts'
import { noProgress } from '../../../src/domain/progress.ts'
import { externalPath } from '../../../src/repository/layout.ts'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { bytesBody } from '../../../src/stores/object-store.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { ageWith, newKeyPair, writeIdentityFile } from '../../support/age.ts'
import { knownRepository, makeArchive, writeTree } from '../../support/archived.ts'
import { keysOf } from '../../support/bodies.ts'
import { garble } from '../../support/both-stores.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const never = async () => {
  throw new Error('no server is started here')
}

async function check(store: ObjectStore, request: Partial<VerifyRequest> = {}, opening?: ReturnType<typeof ageWith>) {
  const scratchParent = await temporaryDirectory()
  const { scratch } = componentsContext([], { scratchParent })
  const report = await verify({
    instance: 'prom-a', repositories: [{ name: 'primary', store }], scratch, startServer: never, opening, settings: { filesAtOnce: 4 },
    clock: systemClock, logger: silentLogger, progress: noProgress, signal: new AbortController().signal,
  }, { ids: [], repositories: [], readData: false, startServer: false, ...request })
  expect(await readdir(scratchParent)).toEqual([])
  return report
}

async function archived(more: Parameters<typeof componentsContext>[1] = {}) {
  const store = await knownRepository()
  const [a, b] = [await temporaryDirectory(), await temporaryDirectory()]
  await writeTree(a, { x: 'y'.repeat(5_000), 'sub/z': 'w' })
  await writeTree(b, { x: '1' })
  await makeArchive(store, componentsContext([directoryComponent('alpha', a), directoryComponent('beta', b)], more))
  await makeArchive(store, componentsContext([directoryComponent('alpha', a), directoryComponent('beta', b)], more))
  const keys = (await keysOf(store)).filter((key) => key.includes('/archives/'))
  const ids = (await readRecoveryPoints(store, 'prom-a')).points.map(({ id }) => id)
  return { store, keys, ids }
}

describe('verify', () => {
  test('finds archives whole: by listing, and byte by byte', async () => {
    const { store } = await archived()
    expect(await check(store)).toMatchObject({ ok: true, checkedRecoveryPoints: 2, checkedBytes: 0, damaged: [], warnings: [] })
    const read = await check(store, { readData: true })
    expect(read).toMatchObject({ ok: true, damaged: [], warnings: [] })
    expect(read.checkedBytes).toBeGreaterThan(200)
  })

  test('names an archive that is missing or has another size, and every recovery point that names it', async () => {
    const { store, keys, ids } = await archived()
    await store.delete([keys[0]!])
    await store.put(keys[1]!, bytesBody(Buffer.from('short')))
    const { ok, damaged } = await check(store)
    expect(ok).toBe(false)
    expect(damaged).toMatchObject([{ key: keys[0], reason: 'it is missing', recoveryPoints: ids }, { key: keys[1], reason: expect.stringContaining('it has 5 bytes instead of'), recoveryPoints: ids }])
  })

  test('of the latest looks at the newest recovery point of this host alone', async () => {
    const { store, ids } = await archived()
    expect(await check(store, { ids: ['latest'] })).toMatchObject({ ok: true, checkedRecoveryPoints: 1 })
    const key = `instances/prom-a/recovery-points/${ids[1]}.json`
    await garble(store, key)
    for (const id of ['latest', ids[1] as string]) expect(await check(store, { ids: [id] })).toMatchObject({ ok: false, checkedRecoveryPoints: 0, damaged: [{ key }] })
    expect(await check(store, { ids: [ids[0] as string] })).toMatchObject({ ok: true, checkedRecoveryPoints: 1 })
    await expect(check(store, { ids: ['latest'], instance: 'prom-b' })).rejects.toMatchObject({ code: 'INSTANCE_NOT_FOUND' })
  })

  test('finds one flipped bit anywhere in an archive when it reads', async () => {
    const { store, keys } = await archived()
    const reader = await store.get(keys[0]!)
    const bytes = Buffer.concat(await reader.body.toArray())
    for (const at of [0, 9, Math.floor(bytes.length / 2), bytes.length - 1]) {
      const flipped = Buffer.from(bytes)
      flipped[at]! ^= 1
      await store.put(keys[0]!, bytesBody(flipped))
      expect(await check(store)).toMatchObject({ ok: true })
      expect((await check(store, { readData: true })).damaged, `byte ${at}`).toMatchObject([{ key: keys[0], reason: expect.stringContaining('SHA-256') }])
    }
  })

  test('reads a part of them at a time, all of them in turn', async () => {
    const { store } = await archived()
    let bytes = 0
    for (let group = 1; group <= 4; group += 1) bytes += (await check(store, { subset: { kind: 'group', group, groups: 4 } })).checkedBytes
    expect(bytes).toBe((await check(store, { readData: true })).checkedBytes)
  })

  test('opens encrypted archives where it has the key, and says so where it has not', async () => {
    const { identity, recipient } = await newKeyPair()
    const { store, keys } = await archived({ encryption: ageWith([recipient]) })
    const identityFile = await writeIdentityFile(await temporaryDirectory(), identity)
    expect(await check(store, { readData: true }, ageWith([], { identityFile }))).toMatchObject({ ok: true, warnings: [] })
    for (const opening of [undefined, ageWith([])]) expect(await check(store, { readData: true }, opening)).toMatchObject({ ok: true, warnings: [expect.stringContaining('2 archives in primary are encrypted')] })
    await store.put(keys[0]!, bytesBody(Buffer.from('garbage')))
    expect((await check(store, { readData: true })).damaged).toMatchObject([{ key: keys[0] }])
  })

  test('counts and measures what a component\'s own tool stored', async () => {
    const store = await knownRepository()
    const directory = await temporaryDirectory()
    await writeTree(directory, { version: '1' })
    const component = {
      ...directoryComponent('vm', directory),
      external: {
        store: async (place: { prefix: string }) => {
          await store.create(`${place.prefix}part1`, bytesBody(Buffer.from('12345')))
          await store.create(`${place.prefix}part2`, bytesBody(Buffer.from('678')))
          return { warnings: [] }
        },
        restore: never,
        extract: never,
      },
    }
    await makeArchive(store, componentsContext([component], { places: new Map([['primary', { url: 'memory://store' }]]) }))
    const [point] = (await readRecoveryPoints(store, 'prom-a')).points
    expect(point?.archives[0]?.external).toEqual({ prefix: externalPath('vm', point!.id), sizeBytes: 8, objects: 2 })
    expect(await check(store)).toMatchObject({ ok: true })
    await store.delete([`instances/prom-a/${externalPath('vm', point!.id)}part2`])
    expect((await check(store)).damaged).toMatchObject([{ key: `instances/prom-a/${externalPath('vm', point!.id)}`, reason: '1 objects of 5 bytes are there instead of 2 of 8' }])
  })
})
