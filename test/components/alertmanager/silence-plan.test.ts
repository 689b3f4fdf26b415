import { describe, expect, it } from 'vitest'
import { describeSilence, planSilences } from '../../../src/components/alertmanager/silence-plan.ts'
import type { Silence, SilenceState } from '../../../src/integrations/alertmanager/alertmanager-api.ts'

const now = new Date('2026-11-21T12:00:00Z')
const a = { name: 'alertname', value: 'A', isRegex: false, isEqual: true }
const job = { name: 'job', value: 'x.*', isRegex: true, isEqual: false }

function silence(id: string, changes: Partial<Silence> = {}): Silence {
  return { id, matchers: [a, job], startsAt: '2026-11-21T11:00:00.000Z', endsAt: '2026-11-21T13:00:00.000Z', updatedAt: '2026-11-21T11:00:00.000Z', createdBy: 'me', comment: 'why', ...changes }
}

const live = (id: string, state: SilenceState, changes: Partial<Silence> = {}) => ({ ...silence(id, changes), state })
const later = { startsAt: '2026-11-21T12:30:00.000Z' }

describe('planSilences', () => {
  it('makes what is active or still to come, and not what is past', () => {
    const plan = planSilences([silence('past', { endsAt: '2026-11-21T12:00:00.000Z' }), silence('active'), silence('pending', later)], [], now)
    expect(plan.create.map(({ id }) => id)).toEqual(['active', 'pending'])
    expect(plan).toMatchObject({ expired: 1, present: 0, differing: [] })
  })

  it('knows what it has made before by its content: the server gave it a new id and a new start', () => {
    const made = live('new', 'active', { startsAt: '2026-11-21T11:59:00.000Z', matchers: [job, a] })
    expect(planSilences([silence('old')], [made], now)).toMatchObject({ create: [], present: 1 })
  })

  it.each<[string, Partial<Silence>]>([
    ['end', { endsAt: '2026-11-21T13:00:00.001Z' }],
    ['author', { createdBy: 'you' }],
    ['comment', { comment: 'because' }],
    ['matchers', { matchers: [a] }],
    ['start to come', later],
  ])('takes one with another %s for another', (_what, changes) => {
    expect(planSilences([silence('old')], [live('new', 'active', changes)], now).create).toHaveLength(1)
  })

  it('makes one again that was expired by hand since, and leaves one alone that was edited', () => {
    expect(planSilences([silence('x')], [live('x', 'expired')], now).create).toHaveLength(1)
    expect(planSilences([silence('x')], [live('x', 'active', { comment: 'edited' })], now)).toMatchObject({ create: [], differing: [{ id: 'x' }] })
  })

  it('makes one of two that say the same', () => {
    expect(planSilences([silence('x'), silence('y')], [], now)).toMatchObject({ create: [{ id: 'x' }], present: 1 })
  })

  it('describes a silence as it is written in a query', () => {
    expect(describeSilence(silence('x'))).toBe('{alertname="A", job!~"x.*"} until 2026-11-21T13:00:00.000Z (why)')
    expect(describeSilence(silence('x', { matchers: [{ ...a, isEqual: false }, { ...job, isEqual: true }] }))).toContain('{alertname!="A", job=~"x.*"}')
  })
})
