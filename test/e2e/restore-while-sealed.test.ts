import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { shipOnce } from '../support/shipping.ts'

const isPart = (key: string) => key.includes('/wal/00000000/') && key.endsWith('.br') && !key.includes('.sealed')

/** A store that is another one from the first time on that a part of the first segment is read. */
function sealedMeanwhile(before: ObjectStore, after: ObjectStore): { store: ObjectStore; vanished(): number } {
  let now = before
  let vanished = 0
  const store = new Proxy(before, {
    get: (_, name) => {
      const member = (now as unknown as Record<string | symbol, unknown>)[name]
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        if (name === 'get' && typeof args[0] === 'string' && isPart(args[0])) {
          now = after
          vanished += 1
        }
        return (now as unknown as Record<string | symbol, (...args: unknown[]) => unknown>)[name]?.(...args)
      }
    },
  })
  return { store, vanished: () => vanished }
}

async function partsIn(store: ObjectStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('instances/prom-a/wal/')) if (isPart(key)) keys.push(key)
  return keys
}

it.skipIf(missingPrograms('prometheus'))('a segment that is sealed between plan and fetch is no damage', async () => {
  const root = await temporaryDirectory('repositories')
  const [before, after] = ['before', 'after'].map((name) => createFileStore({ root: join(root, name) })) as [ObjectStore, ObjectStore]
  const server = await startTestPrometheus()
  for (const samples of [2, 4]) {
    await waitForSamples(server, 'up', samples)
    await shipOnce(server.api, after, { dataDir: server.dataDir })
  }
  await server.kill()
  // A server begins a new segment when it starts.
  const next = await startTestPrometheus({ dataDir: server.dataDir, retention: '10y' })
  await waitForSamples(next, 'up', 5)
  await cp(join(root, 'after'), join(root, 'before'), { recursive: true })
  await shipOnce(next.api, after, { dataDir: server.dataDir })

  const meanwhile = sealedMeanwhile(before, after)
  const report = await operationsOn(next.api, meanwhile.store).restore(join(await temporaryDirectory('target'), 'data'), { start: false })
  expect(meanwhile.vanished()).toBeGreaterThan(0)
  expect(report).toMatchObject({ stoppedBy: 'end', warnings: [], repaired: [] })
  expect(report.plan.recoveryPoint).toBeNull()

  const again = sealedMeanwhile(before, after)
  expect(await operationsOn(next.api, again.store).verify({ readData: true })).toMatchObject({ ok: true, damaged: [] })
  expect(again.vanished()).toBeGreaterThan(0)
  // What went and was not replaced is missing all the same.
  const lost = sealedMeanwhile(before, createFileStore({ root: join(root, 'lost') }))
  await cp(join(root, 'before'), join(root, 'lost'), { recursive: true })
  const [part = ''] = await partsIn(before)
  await rm(join(root, 'lost', part))
  expect(await operationsOn(next.api, lost.store).verify({ readData: true })).toMatchObject({ ok: false, damaged: [{ key: part }] })
})
