import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { raceReEncryption, reEncryptScene } from '../../support/re-encrypt-race.ts'

test.each(Array.from({ length: 10 }, (_, tenth) => tenth))('four races of re-encryption, backups and expiries, of forty: part %i', async (tenth) => {
  const scene = await reEncryptScene(await temporaryDirectory('race'))
  const total = { leaps: 0, backups: 0, expiries: 0, reEncryptions: 0, turnedAway: 0, killed: 0, opened: 0 }
  for (let nth = 0; nth < 4; nth += 1) {
    const seed = `long ${tenth * 4 + nth}`
    const outcome = await raceReEncryption(seed, scene, { calls: 6_000 })
    expect(outcome, seed).toMatchObject({ missing: [], unnamed: [] })
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += outcome[key]
  }
  expect(Math.min(...Object.values(total)), JSON.stringify(total)).toBeGreaterThan(0)
})
