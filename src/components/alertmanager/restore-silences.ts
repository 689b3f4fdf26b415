import { PromDrError } from '../../errors.ts'
import type { RestoreComponentOptions } from '../component.ts'
import { archivedSilences } from './archived-silences.ts'
import type { AlertmanagerComponentContext } from './settings.ts'
import { describeSilence, planSilences } from './silence-plan.ts'

/** A silence that ends while it is made would be refused. */
const shortestMs = 2_000

/**
 * Makes the archived silences that are active or still to come in a running server, and looks whether they are there.
 * @throws COMPONENT_FAILED when one is not; those that were made stay, and a second run does not double them
 */
export async function recreateSilences(from: string, options: RestoreComponentOptions, { api, clock }: AlertmanagerComponentContext): Promise<{ actions: string[]; warnings: string[] }> {
  const { dryRun, signal } = options
  const plan = planSilences(await archivedSilences(from), await api.silences({ signal }), new Date(clock.now().getTime() + shortestMs))
  const warnings = plan.differing.map((silence) => `the silence ${silence.id} was changed since it was archived, and stays as it is now; archived was ${describeSilence(silence)}`)
  const made: string[] = []
  const actions: string[] = []
  for (const silence of plan.create) {
    if (dryRun) {
      actions.push(`would silence ${describeSilence(silence)}`)
      continue
    }
    if (Date.parse(silence.endsAt) <= clock.now().getTime() + shortestMs) continue
    made.push(await api.createSilence(silence, { signal }))
    actions.push(`silenced ${describeSilence(silence)}`)
  }
  if (made.length === 0) return { actions, warnings }
  const there = new Set((await api.silences({ signal })).map(({ id }) => id))
  const missing = made.filter((id) => !there.has(id))
  if (missing.length === 0) return { actions, warnings }
  throw new PromDrError('COMPONENT_FAILED', `Alertmanager took ${made.length} silences, and does not list ${missing.length} of them: ${missing.join(', ')}`, { hint: 'look at its log, and restore again: what is there is not made twice' })
}
