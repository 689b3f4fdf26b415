import { describe, expect, test } from 'vitest'
import { raceReEncryption, reEncryptScene } from '../../support/re-encrypt-race.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'

const total = { leaps: 0, backups: 0, expiries: 0, reEncryptions: 0, turnedAway: 0, killed: 0, opened: 0 }

describe('re-encryption from two hosts beside backups and expiries of two instances', () => {
  test.each([0, 1])('loses nothing that is named, leaves nothing that is not, and nothing that the old key opens: race %i', async (seed) => {
    const outcome = await raceReEncryption(`short ${seed}`, await reEncryptScene(await temporaryDirectory('race')), { calls: 2_500 })
    expect(outcome).toMatchObject({ missing: [], unnamed: [] })
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += outcome[key]
  })

  test('did meet in the middle: runs took turns, were turned away and killed, archives were read, time leapt', () => {
    expect(Math.min(...Object.values(total)), JSON.stringify(total)).toBeGreaterThan(0)
  })
})
