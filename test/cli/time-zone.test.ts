import { expect, it } from 'vitest'
import { temporaryDirectory } from '../support/cleanup.ts'
import { promDr } from './launcher.ts'

it.each([':/etc/localtime', 'Nowhere/AtAll'])('a moment without a zone is refused without naming TZ=%s, which names none', async (TZ) => {
  const { code, stderr } = await promDr(['restore', '--at', '2026-11-21T03:00:00'], { cwd: await temporaryDirectory('time-zone'), env: { TZ } })
  expect(code).toBe(2)
  expect(stderr).toContain('it could be 2026-11-21T03:00:00Z (UTC) or a time of another zone')
})
