import { liveLeases } from '../../repository/lease.ts'
import { listInstances } from '../../repository/recovery-points.ts'
import type { ObjectStore } from '../../stores/object-store.ts'

/** Longer than an expiry removes after a look, the tries of its last request included. */
const longestMs = 5 * 60_000
const pollMs = 2_000

/**
 * Waits, just before the last look at what a manifest will name, for expiries that may have looked before there was an intent: until
 * they have ended, or must have looked again. There is hardly ever one: an expiry takes seconds a day.
 */
export async function awaitExpiries(store: ObjectStore, options: { now(): Date; sleep(durationMs: number): Promise<void>; signal: AbortSignal }): Promise<void> {
  const startedAtMs = options.now().getTime()
  for (let live = await liveExpiries(store, options); live.length > 0; live = await stillLive(store, live, options)) {
    if (options.now().getTime() - startedAtMs >= longestMs) return
    await options.sleep(pollMs)
  }
}

async function liveExpiries(store: ObjectStore, { signal }: { signal: AbortSignal }): Promise<string[]> {
  return stillLive(store, await listInstances(store, { signal }), { signal })
}

async function stillLive(store: ObjectStore, instances: readonly string[], { signal }: { signal: AbortSignal }): Promise<string[]> {
  const live = await Promise.all(instances.map(async (instance) => ((await liveLeases(store, instance, { verb: 'expire', signal })) > 0 ? [instance] : [])))
  return live.flat()
}
