/** What is known of an instance's protection, from its repositories alone. Times are ms; null where there is nothing. */
export interface ProtectionFacts {
  nowMs: number
  newestSampleMs: number | null
  heartbeatAtMs: number | null
  lastRecoveryPointAtMs: number | null
  /** The log can be restored without any recovery point. */
  restoresAlone: boolean
  /** A sign of life older than this means that nothing ships any more. */
  silentAfterMs: number
}

/**
 * `shipper-dead`: it gives no sign of life, so that what the server collects now would be lost. `idle`: it lives, but the server has no new
 * samples. `no-recovery-point`: there is none, and the log
 * needs one. `not-shipped`: only recovery points protect it.
 */
export type ProtectionHealth = 'ok' | 'idle' | 'shipper-dead' | 'not-shipped' | 'no-recovery-point'

/** Samples older than this are a server without work: scrapes are rarely further apart. */
const idleAfterMs = 5 * 60_000

/** The worst that is true comes first: a dead shipper loses data, an idle server has none to lose. */
export function judgeProtection(facts: ProtectionFacts): { health: ProtectionHealth; reason: string } {
  const { nowMs, newestSampleMs, heartbeatAtMs, lastRecoveryPointAtMs, silentAfterMs } = facts
  const restorable = lastRecoveryPointAtMs !== null || facts.restoresAlone
  if (!restorable) return { health: 'no-recovery-point', reason: 'there is no recovery point: run "prom-dr backup"' }
  if (heartbeatAtMs === null) return { health: 'not-shipped', reason: 'the WAL is not shipped: what is newer than the last recovery point would be lost; run "prom-dr ship"' }
  if (nowMs - heartbeatAtMs > silentAfterMs) return { health: 'shipper-dead', reason: 'the shipper has given no sign of life since then: is "prom-dr ship" running, and does it reach the repository?' }
  if (newestSampleMs === null || nowMs - newestSampleMs > idleAfterMs) return { health: 'idle', reason: 'the shipper lives, but the server has logged no new samples: is Prometheus running and scraping?' }
  return { health: 'ok', reason: 'shipped up to now' }
}
