import type { Silence, SilenceState } from '../../integrations/alertmanager/alertmanager-api.ts'

export interface SilencePlan {
  /** To be made, in the order of their ends. */
  create: Silence[]
  /** In the server already, by content or by id. */
  present: number
  /** Past: they are not made again. */
  expired: number
  /** Alive under the archived id, with other content than the archived. */
  differing: Silence[]
}

/**
 * What brings archived silences back into a running server. The API gives new ids and turns a past start into now, so a silence is known
 * by what it says: matchers, end, author, comment, and its start where that is still to come. One that is alive under its archived id
 * was edited since, and stays.
 */
export function planSilences(archived: readonly Silence[], live: readonly (Silence & { state: SilenceState })[], now: Date): SilencePlan {
  const nowMs = now.getTime()
  const alive = live.filter(({ state }) => state !== 'expired')
  const contents = new Set(alive.map((silence) => contentOf(silence, nowMs)))
  const plan: SilencePlan = { create: [], present: 0, expired: 0, differing: [] }
  for (const silence of archived) {
    if (Date.parse(silence.endsAt) <= nowMs) plan.expired += 1
    else if (contents.has(contentOf(silence, nowMs))) plan.present += 1
    else if (alive.some(({ id }) => id === silence.id)) plan.differing.push(silence)
    else {
      contents.add(contentOf(silence, nowMs))
      plan.create.push(silence)
    }
  }
  plan.create.sort((a, b) => Date.parse(a.endsAt) - Date.parse(b.endsAt))
  return plan
}

/** One line about a silence, for people. */
export function describeSilence({ matchers, comment, endsAt }: Silence): string {
  const shown = matchers.map(({ name, value, isRegex, isEqual }) => `${name}${isEqual ? '=' : '!'}${isRegex ? '~' : isEqual ? '' : '='}${JSON.stringify(value)}`)
  return `{${shown.join(', ')}} until ${endsAt} (${comment})`
}

function contentOf({ matchers, startsAt, endsAt, createdBy, comment }: Silence, nowMs: number): string {
  const sorted = matchers.map(({ name, value, isRegex, isEqual }) => JSON.stringify([name, value, isRegex, isEqual])).sort()
  const startsMs = Date.parse(startsAt)
  return JSON.stringify([sorted, startsMs <= nowMs ? 'started' : startsMs, Date.parse(endsAt), createdBy, comment])
}
