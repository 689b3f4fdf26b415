import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Identity, claimInstance, readIdentity } from '../../src/repository/identity.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { keysOf, readText } from '../support/bodies.ts'
import { describeOnBothStores, garble } from '../support/both-stores.ts'
import { temporaryDirectory } from '../support/cleanup.ts'

const key = 'instances/prom-a/instance.json'
const first: Identity = { machineId: 'a'.repeat(32), hostname: 'mon-1', dataDir: '/var/lib/prometheus', externalLabels: { replica: 'a' } }
const second: Identity = { ...first, machineId: 'b'.repeat(32), hostname: 'mon-2' }
const claim = (identity: Identity, adopt = false) => ({ identity, adopt })

describeOnBothStores('the name of an instance', (open) => {
  test('is taken by its first writer and stays with it', async () => {
    const store = await open()
    expect(await readIdentity(store, 'prom-a')).toBeUndefined()
    await claimInstance(store, 'prom-a', claim(first))
    expect(await readIdentity(store, 'prom-a')).toEqual(first)
    const before = await readText(store, key)
    await claimInstance(store, 'prom-a', claim(first))
    expect(await readText(store, key)).toBe(before)
  })

  test.each([
    ['another machine', second],
    ['another data directory of the same machine', { ...first, dataDir: '/srv/prometheus' }],
  ])('is refused to %s, naming the one it belongs to', async (_, other) => {
    const store = await open()
    await claimInstance(store, 'prom-a', claim(first))
    await expect(claimInstance(store, 'prom-a', claim(other))).rejects.toMatchObject({
      code: 'INSTANCE_TAKEN', message: `instance prom-a in ${store.url} belongs to mon-1, data directory /var/lib/prometheus (machine aaaaaaaa…)`, hint: expect.stringContaining('--adopt'),
    })
    expect(await readIdentity(store, 'prom-a')).toEqual(first)
  })

  test('is taken over by another machine that is told to adopt it, and then refused to the old one', async () => {
    const store = await open()
    await claimInstance(store, 'prom-a', claim(first))
    await claimInstance(store, 'prom-a', claim(second, true))
    await claimInstance(store, 'prom-a', claim(second))
    await expect(claimInstance(store, 'prom-a', claim(first))).rejects.toMatchObject({ code: 'INSTANCE_TAKEN', message: expect.stringContaining('mon-2') })
  })

  test('stays with a machine that was renamed, and follows its external labels', async () => {
    const store = await open()
    await claimInstance(store, 'prom-a', claim(first))
    await claimInstance(store, 'prom-a', claim({ ...first, hostname: 'mon-1-new', externalLabels: { replica: 'a', region: 'eu' } }))
    expect(await readIdentity(store, 'prom-a')).toMatchObject({ externalLabels: { replica: 'a', region: 'eu' } })
  })

  test('goes to exactly one of several machines that ask for it at once', async () => {
    const store = await open()
    const machines = Array.from({ length: 8 }, (_, at) => ({ ...first, machineId: String(at).repeat(32) }))
    const results = await Promise.allSettled(machines.map((identity) => claimInstance(store, 'prom-a', claim(identity))))
    expect(results.filter((result) => result.status === 'fulfilled').length).toBe(1)
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'INSTANCE_TAKEN' })
    expect((await readIdentity(store, 'prom-a'))?.machineId).toBe(machines[results.findIndex((result) => result.status === 'fulfilled')]?.machineId)
  })

  test('whose document is damaged is refused, but to one that is told to adopt it', async () => {
    const store = await open()
    await claimInstance(store, 'prom-a', claim(first))
    await garble(store, key)
    await expect(claimInstance(store, 'prom-a', claim(first))).rejects.toMatchObject({ code: 'DAMAGED' })
    await claimInstance(store, 'prom-a', claim(second, true))
    expect(await readIdentity(store, 'prom-a')).toEqual(second)
  })

  test('is not claimed when the store cannot be asked', async () => {
    const store = await open()
    for (const verb of ['get', 'create'] as const) {
      const faulty = createFaultyStore(store, [{ verb, call: 1, at: 'before' }])
      await expect(claimInstance(faulty, 'prom-a', claim(first, true))).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
      expect(faulty.fired.length).toBe(1)
      expect(await keysOf(store)).toEqual([])
    }
  })

  test.each(['..', '../x', 'a/b', '', '.hidden', 'a b', 'x'.repeat(64), 'a\n'])('is never %j', async (name) => {
    const store = await open()
    await expect(claimInstance(store, name, claim(first))).rejects.toMatchObject({ code: 'KEY_INVALID' })
    expect(await keysOf(store)).toEqual([])
  })
})

test('the name of an instance is refused, and not asked for for ever, where something lies that is no object', async () => {
  const root = await temporaryDirectory('repository')
  await mkdir(join(root, key), { recursive: true })
  // Who asked for ever would be interrupted.
  const claimed = claimInstance(createFileStore({ root }), 'prom-a', { ...claim(first), signal: AbortSignal.timeout(20_000) })
  await expect(claimed).rejects.toMatchObject({ code: 'STORE_BAD_RESPONSE', message: expect.stringContaining(key), hint: expect.stringContaining('a directory') })
})
