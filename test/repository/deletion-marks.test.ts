import { describe, expect, test } from 'vitest'
import { deletionDelayMs, deletionMarginMs, mayTakeBack, readDeletionMark } from '../../src/repository/deletion-marks.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { describeOnBothStores, overwrite } from '../support/both-stores.ts'

const ulid = '01ARZ3NDEKTSV4RRFFQ69G5FAV'
const key = `blocks/${ulid}/deletion-mark.json`
/** As Thanos 0.34 writes it (json.Encoder of metadata.DeletionMark). */
const ofThanos = `{"id":"${ulid}","version":1,"details":"block exceeding retention of 30d","deletion_time":1763692575}\n`

describeOnBothStores('a deletion mark', (open) => {
  test('of Thanos is read', async () => {
    const store = await open()
    await overwrite(store, key, ofThanos)
    expect(await readDeletionMark(store, ulid)).toBe(1_763_692_575_000)
  })

  test('without details, or with fields of tomorrow, is read', async () => {
    const store = await open()
    await overwrite(store, key, `{"id":"${ulid}","version":1,"deletion_time":1,"more":[]}`)
    expect(await readDeletionMark(store, ulid)).toBe(1_000)
  })

  test('that is not there means a block that is not marked', async () => {
    expect(await readDeletionMark(await open(), ulid)).toBeUndefined()
  })

  test.each([
    ['no JSON', '{"id":'],
    ['empty', ''],
    ['of another version', ofThanos.replace('"version":1', '"version":2')],
    ['without a time', ofThanos.replace('deletion_time', 'time')],
    ['dated in words', ofThanos.replace('1763692575', '"today"')],
    ['oversized', ' '.repeat(64 * 1024) + ofThanos],
  ])('that is %s is damage, not the absence of a mark', async (_, text) => {
    const store = await open()
    await overwrite(store, key, text)
    await expect(readDeletionMark(store, ulid)).rejects.toMatchObject({ code: 'DAMAGED', details: { key }, hint: expect.any(String) })
  })

  test('that the store cannot give is neither', async () => {
    const store = await open()
    await overwrite(store, key, ofThanos)
    for (const at of ['before', 3] as const) {
      const faulty = createFaultyStore(store, [{ verb: 'get', call: 1, at }])
      await expect(readDeletionMark(faulty, ulid)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
      expect(faulty.fired.length).toBe(1)
    }
  })

  test('is not looked for outside blocks/', async () => {
    await expect(readDeletionMark(await open(), '../instances/x')).rejects.toMatchObject({ code: 'KEY_INVALID' })
  })
})

describe('a mark may be taken back', () => {
  test.each([
    ['when it is fresh', 0, true],
    ['two hours and a millisecond before it comes of age', 46 * 3_600_000 - 1, true],
    ['no more two hours before', 46 * 3_600_000, false],
    ['no more when it is of age', 48 * 3_600_000, false],
    ['when the clock of whoever marked it was ahead', -3_600_000, true],
  ])('%s', (_, ageMs, expected) => {
    expect(mayTakeBack(1_000_000_000_000, 1_000_000_000_000 + ageMs)).toBe(expected)
  })

  test('with two hours to spare of the 48 that removal waits', () => {
    expect([deletionDelayMs, deletionMarginMs]).toEqual([48 * 3_600_000, 2 * 3_600_000])
  })
})
