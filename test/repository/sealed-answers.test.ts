import { expect, test } from 'vitest'
import type { KnownAnswers } from '../../src/domain/known-answers.ts'
import { decodeKnownAnswers, encodeKnownAnswers } from '../../src/repository/known-answers-codec.ts'
import { countAnswers, openAnswers, sealAnswers } from '../../src/repository/sealed-answers.ts'
import { ageWith, newKeyPair, writeIdentityFile } from '../support/age.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const answers: KnownAnswers = {
  seed: 'seed', dropped: 3,
  series: [{ labels: { __name__: 'secret_metric', job: 'a' }, startMs: 1000, endMs: 3000, samples: [{ timestampMs: 1000, valueBits: 1n }, { timestampMs: 2000, valueBits: 0x7ff0000000000002n }] }],
  queries: [{ query: 'count(secret_metric)', atMs: 3000, result: '1' }],
}

test('known answers are sealed whole, and say how many they are', async () => {
  const pair = await newKeyPair()
  const identityFile = await writeIdentityFile(await temporaryDirectory(), pair.identity)
  const encoded = await encodeKnownAnswers(answers)
  const sealed = await sealAnswers(encoded, ageWith([pair.recipient]))
  expect(JSON.stringify(sealed)).not.toMatch(/secret|seed"\s*:\s*"s/)
  expect(countAnswers(sealed)).toEqual({ series: 1, samples: 2, queries: 1, dropped: 3 })
  expect(countAnswers(encoded)).toEqual(countAnswers(sealed))
  expect(await decodeKnownAnswers(await openAnswers(sealed, ageWith([], { identityFile })))).toEqual(answers)
  expect(await openAnswers(encoded, undefined)).toBe(encoded)
  await expect(openAnswers(sealed, undefined)).rejects.toMatchObject({ code: 'KEY_MISSING', details: { recipients: [pair.recipient] } })
  await expect(openAnswers(sealed, ageWith([]))).rejects.toMatchObject({ code: 'KEY_MISSING' })
})

test('what is sealed in their place and is something else is damage', async () => {
  const pair = await newKeyPair()
  const opening = ageWith([], { identityFile: await writeIdentityFile(await temporaryDirectory(), pair.identity) })
  const encoded = await encodeKnownAnswers(answers)
  const twice = await sealAnswers(await sealAnswers(encoded, ageWith([pair.recipient])), ageWith([pair.recipient]))
  // The outer one holds counts of nothing, and nothing of the inner one.
  expect(countAnswers(twice)).toEqual({ series: 0, samples: 0, queries: 0, dropped: 3 })
  const sealed = await sealAnswers(encoded, ageWith([pair.recipient]))
  const garbled = Buffer.from(sealed.sealed?.age ?? '', 'base64')
  garbled[garbled.length - 20]! ^= 1
  await expect(openAnswers({ ...sealed, sealed: { ...sealed.sealed!, age: garbled.toString('base64') } }, opening)).rejects.toMatchObject({ code: 'DAMAGED' })
})
