import { describe, expect, test } from 'vitest'
import { raceExpiries } from '../../support/expiry-race.ts'

const total = { backups: 0, expiries: 0, refused: 0, killed: 0, deletedBlocks: 0, shipped: 0, restored: 0, leaps: 0 }

describe('two expiries, backups of two instances and a ship on one repository', () => {
  test.each(Array.from({ length: 10 }, (_, seed) => seed))('lose nothing that is named, and leave nothing that is not: race %i', async (seed) => {
    const outcome = await raceExpiries(`short ${seed}`)
    expect(outcome).toMatchObject({ missing: [], unnamed: [] })
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += outcome[key]
  })

  test('did meet in the middle: marks came of age, manifests could not be read, runs were killed, time leapt', () => {
    expect(Math.min(...Object.values(total)), JSON.stringify(total)).toBeGreaterThan(0)
  })
})
