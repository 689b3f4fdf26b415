import { readFile, writeFile } from 'node:fs/promises'
import { parse, stringify } from 'yaml'
import { expect, it } from 'vitest'
import { missingPrograms, remoteWrite, waitFor, waitForSamples } from '../support/prometheus.ts'
import { differences, restored, samplesOf, samplesUntil, startShippedServer } from '../support/shipped-server.ts'

it.skipIf(missingPrograms('prometheus'))('out-of-order samples come back also where the server was told to take them after its log began', async () => {
  const { server, operations, shipOnce } = await startShippedServer({ flags: ['--web.enable-lifecycle'] })
  await waitForSamples(server, 'up', 2)
  await shipOnce()
  const config = parse(await readFile(server.configFile, 'utf8')) as object
  await writeFile(server.configFile, stringify({ ...config, storage: { tsdb: { out_of_order_time_window: '5m' } } }))
  expect((await fetch(`${server.url}/-/reload`, { method: 'POST' })).status).toBe(200)

  const write = (timestampMs: number) => remoteWrite(server.url, [{ labels: { __name__: 'pushed' }, samples: [{ timestampMs, value: timestampMs % 1000 }] }])
  const moment = Date.now()
  // Longer than a scrape may take.
  await waitFor(async () => Date.now() > moment + 3000, { what: 'a few seconds' })
  await write(Date.now())
  for (let late = 1; late <= 6; late += 1) {
    await write(moment - late * 100)
    await shipOnce()
  }
  const source = await samplesOf(server.api, { endMs: Date.now() })
  expect(source.get('[["__name__","pushed"]]')?.size).toBe(7)
  await server.kill()
  await restored(operations, { at: { kind: 'time', ms: moment } }, async (api) => expect(differences(samplesUntil(source, moment), await samplesOf(api, { endMs: Date.now() }))).toEqual([]))
})
