import { beforeAll, describe, expect, it } from 'vitest'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../../src/stores/object-store.ts'
import { keysOf } from '../../support/bodies.ts'
import { operationsOn } from '../../support/operations.ts'
import { type TestPrometheus, missingPrograms, remoteWrite, startTestPrometheus } from '../../support/prometheus.ts'

const settings = { knownAnswers: { series: 5, samplesPerSeries: 5, queries: [] } }

describe.skipIf(missingPrograms('prometheus'))('the head of a server that has taken in nothing', () => {
  let server: TestPrometheus
  let lastMs = Date.now() - 60_000

  beforeAll(async () => {
    server = await startTestPrometheus({ scrapeItself: false })
    await write(200)
  })

  it('is not stored again, and both recovery points are whole', async () => {
    const store = createMemoryStore()
    const { backup, verify } = operationsOn(server.api, store, { settings })
    const first = await backup()
    const before = await keysOf(store)
    const second = await backup()
    expect(await headsOf(store)).toEqual([(await headsOf(store))[0], (await headsOf(store))[0]])
    expect(second).toMatchObject({ recoveryPoint: { headIncluded: true, samples: first.recoveryPoint.samples, bytes: first.recoveryPoint.bytes } })
    expect((await keysOf(store)).filter((key) => !before.includes(key) && !/leases|recovery-points/.test(key))).toEqual([])
    expect(await verify({ readData: true })).toMatchObject({ ok: true, checkedRecoveryPoints: 2 })
  })

  it('is stored again once a sample has come', async () => {
    const store = createMemoryStore()
    const { backup, verify } = operationsOn(server.api, store, { settings })
    await backup()
    await write(1)
    await backup()
    expect(new Set(await headsOf(store)).size).toBe(2)
    expect(await verify({ readData: true })).toMatchObject({ ok: true })
  })

  it.each([
    ['lost a file', async (store: ObjectStore, key: string) => store.delete([key])],
    ['has a file of another size', async (store: ObjectStore, key: string) => store.put(key, bytesBody(Buffer.from('short')))],
  ])('is stored again when the stored one %s', async (_, spoil) => {
    const store = createMemoryStore()
    const { backup } = operationsOn(server.api, store, { settings })
    await backup()
    const [key] = (await keysOf(store)).filter((candidate) => candidate.includes('/heads/') && candidate.endsWith('/index'))
    await spoil(store, key as string)
    await backup()
    expect(new Set(await headsOf(store)).size).toBe(2)
  })

  async function write(samples: number): Promise<void> {
    const series = { labels: { __name__: 'written' }, samples: Array.from({ length: samples }, () => ({ timestampMs: (lastMs += 100), value: lastMs })) }
    await remoteWrite(server.url, [series])
  }

  async function headsOf(store: ObjectStore): Promise<string[]> {
    const { points } = await readRecoveryPoints(store, 'prom-a')
    return points.flatMap(({ head }) => (head.kind === 'block' ? [head.block.ulid] : []))
  }
})
