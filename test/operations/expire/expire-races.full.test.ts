import { expect, test } from 'vitest'
import { raceExpiries } from '../../support/expiry-race.ts'

test.each(Array.from({ length: 10 }, (_, tenth) => tenth))('twenty races of expiries, backups and a ship, of two hundred: part %i', async (tenth) => {
  const total = { backups: 0, expiries: 0, refused: 0, killed: 0, deletedBlocks: 0, shipped: 0, restored: 0, leaps: 0 }
  for (let nth = 0; nth < 20; nth += 1) {
    const seed = `long ${tenth * 20 + nth}`
    const outcome = await raceExpiries(seed, { calls: 6_000 })
    expect(outcome, seed).toMatchObject({ missing: [], unnamed: [] })
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += outcome[key]
  }
  expect(Math.min(...Object.values(total)), JSON.stringify(total)).toBeGreaterThan(0)
})
