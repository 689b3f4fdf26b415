import { PromDrError } from '../../src/errors.ts'
import { type MemoryStore, createMemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import type { Clock } from '../../src/system/clock.ts'
import { type ManualClock, createManualClock } from '../fakes/manual-clock.ts'

type Verb = 'create' | 'put' | 'get' | 'head' | 'list' | 'listFolders' | 'delete' | 'now' | 'capabilities'

interface Parked {
  actor: string
  verb: Verb | 'sleep'
  key: string
  sinceMs: number
  /** For a sleep: when it is over. */
  dueMs: number
  resume(): void
}

const hourMs = 3_600_000
/** A request that is under way is done within this, whatever else happens. */
const longestRequestMs = 30_000
/** Of the machine that runs the test. */
const longestWorkMs = 60_000

/**
 * Actors on one store under one simulated clock, where every call waits until it is chosen: any order that real hosts and a real
 * network could give, decided by a seed. Long stretches pass only where no call is under way that a host would not leave for so long.
 */
export class Race {
  readonly clock: ManualClock
  readonly store: MemoryStore
  readonly #random: () => number
  readonly #parked = new Set<Parked>()
  readonly #alive = new Set<string>()
  readonly #unreadable = new Set<string>()
  readonly failures: unknown[] = []
  /** Called after every effect that could lose something. */
  readonly #check: () => void
  readonly #onLeap: (nowMs: number) => void
  steps = 0
  leaps = 0

  constructor(random: () => number, hooks: { check(race: Race): void; onLeap(race: Race, nowMs: number): void }) {
    this.#random = random
    this.clock = createManualClock()
    this.store = createMemoryStore({ clock: this.clock })
    this.#check = () => hooks.check(this)
    this.#onLeap = (nowMs) => hooks.onLeap(this, nowMs)
  }

  get nowMs(): number {
    return this.clock.now().getTime()
  }

  pick(count: number): number {
    return Math.floor(this.#random() * count)
  }

  chance(share: number): boolean {
    return this.#random() < share
  }

  /** From now on the object reads as garbage, until `heal`. */
  spoil(key: string): void {
    this.#unreadable.add(key)
  }

  heal(): void {
    this.#unreadable.clear()
  }

  clockOf(actor: string): Clock {
    return { now: () => this.clock.now(), monotonicMs: () => this.clock.monotonicMs(), sleep: (durationMs) => this.#park(actor, 'sleep', '', this.nowMs + durationMs) }
  }

  /** The store as one actor has it. */
  storeOf(actor: string): ObjectStore {
    const { store } = this
    const turn = (verb: Verb, key: string) => this.#park(actor, verb, key, this.nowMs)
    const changing = async <T>(verb: Verb, key: string, effect: () => Promise<T>): Promise<T> => {
      await turn(verb, key)
      const result = await effect()
      this.#check()
      return result
    }
    const unreadable = this.#unreadable
    return {
      url: store.url,
      listsInPages: store.listsInPages,
      create: (key, body, options) => changing('create', key, () => store.create(key, body, options)),
      put: (key, body, options) => changing('put', key, () => store.put(key, body, options)),
      delete: (keys, options) => changing('delete', keys.join(' '), () => store.delete(keys, options)),
      async get(key, options) {
        await turn('get', key)
        if (unreadable.has(key)) throw new PromDrError('DAMAGED', `${key} reads as garbage`)
        return store.get(key, options)
      },
      async head(key, options) {
        await turn('head', key)
        return store.head(key, options)
      },
      async *list(prefix, options) {
        await turn('list', prefix)
        yield* await collect(store.list(prefix, options))
      },
      async *listFolders(prefix, options) {
        await turn('listFolders', prefix)
        yield* await collect(store.listFolders(prefix, options))
      },
      async now(options) {
        await turn('now', '')
        return store.now(options)
      },
      capabilities: (prefix, options) => store.capabilities(prefix, options),
      close: () => store.close(),
    }
  }

  /** Starts an actor; what it throws is a failure of the race. */
  start(actor: string, work: () => Promise<void>): void {
    this.#alive.add(actor)
    void work().catch((error: unknown) => this.failures.push(error)).finally(() => this.#alive.delete(actor))
  }

  /** The actor ends here: what it was about to do never happens. */
  kill(actor: string): void {
    this.#alive.delete(actor)
    for (const parked of this.#parked) if (parked.actor === actor) this.#parked.delete(parked)
  }

  isAlive(actor: string): boolean {
    return this.#alive.has(actor)
  }

  /** Lets one call happen after the other, until nobody is left or `enough` says so. */
  async run(enough: () => boolean): Promise<void> {
    while (!enough()) {
      await this.#settled()
      if (this.failures.length > 0) throw this.failures[0]
      const calls = [...this.#parked].filter(({ verb, dueMs }) => verb !== 'sleep' || dueMs <= this.nowMs)
      if (calls.length === 0) {
        const next = Math.min(...[...this.#parked].map(({ dueMs }) => dueMs))
        if (!Number.isFinite(next)) return
        this.clock.advance(next - this.nowMs)
        continue
      }
      if (this.chance(0.01) && calls.every(mayWait)) {
        this.leaps += 1
        this.clock.advance(hourMs * (1 + this.pick(70)))
        this.#onLeap(this.nowMs)
        continue
      }
      const late = calls.find(({ sinceMs, verb }) => verb !== 'sleep' && this.nowMs - sinceMs > longestRequestMs)
      const chosen = late ?? (calls[this.pick(calls.length)] as Parked)
      this.steps += 1
      if (late === undefined) this.clock.advance(this.pick(2_000))
      this.#parked.delete(chosen)
      chosen.resume()
    }
  }

  /** Every actor waits for its turn; until then those that work on files or with keys are left alone. */
  async #settled(): Promise<void> {
    await settled()
    for (const deadline = performance.now() + longestWorkMs; performance.now() < deadline; ) {
      const waiting = new Set([...this.#parked].map(({ actor }) => actor))
      if ([...this.#alive].every((actor) => waiting.has(actor))) return
      await new Promise((resolve) => setImmediate(resolve))
    }
    const waiting = new Set([...this.#parked].map(({ actor }) => actor))
    throw new Error(`these do not come to wait: ${[...this.#alive].filter((actor) => !waiting.has(actor)).join(', ')}`)
  }

  #park(actor: string, verb: Parked['verb'], key: string, dueMs: number): Promise<void> {
    return new Promise((resume) => void this.#parked.add({ actor, verb, key, sinceMs: this.nowMs, dueMs, resume }))
  }
}

/** A host may be paused, and an upload may take days; but not the request that removes, marks or commits. */
function mayWait({ verb, key, actor }: Parked): boolean {
  if (actor.startsWith('ship') || actor.startsWith('restore')) return verb === 'sleep'
  if (actor.startsWith('expire') || actor.startsWith('re-encrypt')) return verb !== 'delete' && verb !== 'put' && verb !== 'create'
  return (verb === 'create' || verb === 'put') && /^blocks\/|\/heads\//.test(key)
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Everything that does not wait for a turn has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
