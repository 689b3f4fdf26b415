import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { labelsOfSeries, refsOfLabels } from '../../src/tsdb/index-labels.ts'
import { visitSeries } from '../../src/tsdb/index-series.ts'
import { type MadeBlocks, defaultStartMs, makeBlocks } from '../support/blocks.ts'
import { missingPrograms } from '../support/programs.ts'

describe.skipIf(missingPrograms('promtool'))('the index of a block', () => {
  let made: MadeBlocks
  let index: string
  const refs: number[] = []

  beforeAll(async () => {
    // More than a window of series, and symbols of more than 127 bytes.
    made = await makeBlocks({ series: 20_000, samples: 3, labels: (series) => ({ text: `ünïcødé "${'x'.repeat(series % 200)}"` }) })
    index = join(made.blocks[0]?.path ?? '', 'index')
    await visitSeries(index, ({ ref, chunks }) => {
      refs.push(ref)
      chunks((firstMs, lastMs) => expect([firstMs, lastMs]).toEqual([defaultStartMs, defaultStartMs + 30_000]))
    })
  })
  afterAll(() => made.remove())

  it('tells the labels of a series by its reference, and the reference by the labels', async () => {
    expect(refs).toHaveLength(20_000)
    const some = new Set([0, 1, 77, 9_999, 19_999].map((at) => refs[at] as number))
    const labels = await labelsOfSeries(index, new Set([...some, 3]))
    expect([...(labels?.keys() ?? [])]).toEqual([...some])
    for (const found of labels?.values() ?? []) {
      const series = Number(new Map(found).get('series'))
      expect(found).toEqual([['__name__', 'prom_dr_test'], ['series', String(series)], ['text', `ünïcødé "${'x'.repeat(series % 200)}"`]])
    }
    expect(await refsOfLabels(index, [...(labels?.values() ?? [])])).toEqual([...some])
  })

  it('knows nothing of series that it has not, also of those made of labels that it has', async () => {
    const [one, other] = [...((await labelsOfSeries(index, new Set(refs.slice(0, 2)))) ?? []).values()]
    const mixed = one?.map((label, at) => (at === 1 ? (other?.[1] ?? label) : label)) ?? []
    expect(await refsOfLabels(index, [mixed, [['__name__', 'never']], one?.slice(0, 2) ?? []])).toEqual([undefined, undefined, undefined])
  })
})
