import { readWal } from '../../repository/wal-compression.ts'
import type { ObjectStore } from '../../stores/object-store.ts'

/** An object of the log, and how long it is when unpacked. */
export interface LogObject {
  key: string
  length: number
}

/** Larger ones are unpacked as they are read. */
const wholeBytes = 8 * 1024 * 1024
/** What may wait for its turn, unpacked. */
const aheadBytes = 48 * 1024 * 1024
const aheadObjects = 16

/**
 * The unpacked bytes of objects in the order given, each as soon as the one before it was consumed. Those that follow are fetched
 * meanwhile, as far as memory is set aside for them: a log shipped every ten seconds is thousands of small objects, and waiting for
 * each would take longer than all of their bytes.
 * @throws DAMAGED, OBJECT_NOT_FOUND and STORE_* as soon as the turn of an object comes
 */
export async function* fetchLog<T extends LogObject>(objects: readonly T[], from: { store: ObjectStore; signal: AbortSignal }): AsyncGenerator<{ object: T; bytes: AsyncIterable<Buffer> }> {
  const stop = new AbortController()
  const signal = AbortSignal.any([from.signal, stop.signal])
  const open = ({ key, length }: T) => readWal(from.store, key, { length, signal })
  const waiting = new Map<T, Promise<Buffer[]>>()
  let next = 0
  let heldBytes = 0
  try {
    for (const [index, object] of objects.entries()) {
      next = Math.max(next, index)
      for (let candidate = objects[next]; candidate !== undefined && waiting.size < aheadObjects && heldBytes + candidate.length <= aheadBytes; candidate = objects[next]) {
        next += 1
        if (candidate.length > wholeBytes) continue
        const whole = collect(open(candidate))
        // It is told when its turn comes; until then it must not end the process.
        whole.catch(() => undefined)
        waiting.set(candidate, whole)
        heldBytes += candidate.length
      }
      const whole = waiting.get(object)
      if (whole === undefined) yield { object, bytes: open(object) }
      else {
        const bytes = await whole
        waiting.delete(object)
        yield { object, bytes: iterate(bytes) }
        heldBytes -= object.length
      }
    }
  } finally {
    stop.abort()
    await Promise.allSettled(waiting.values())
  }
}

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const collected: Buffer[] = []
  for await (const piece of pieces) collected.push(piece)
  return collected
}

async function* iterate(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces
}
