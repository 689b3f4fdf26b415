import type { LocalSegment } from '../../tsdb/wal-source.ts'

interface Watched {
  identity: string
  /** Growing in both. */
  looks: { sizeBytes: number; atMs: number }[]
}

/**
 * When the bytes of a log were first seen. Whatever is shipped, to whichever repository and however late, carries that time: a
 * restore to a moment ends the log by it.
 */
export class LogGrowth {
  readonly #segments = new Map<number, Watched>()

  /** @param atMs a time after the segments' sizes were read: what they hold was logged before it */
  look(segments: readonly LocalSegment[], atMs: number): void {
    const numbers = new Set(segments.map(({ number }) => number))
    for (const number of this.#segments.keys()) if (!numbers.has(number)) this.#segments.delete(number)
    for (const { number, identity, sizeBytes } of segments) {
      const known = this.#segments.get(number)
      const last = known?.looks.at(-1)
      if (known === undefined || known.identity !== identity || (last !== undefined && last.sizeBytes > sizeBytes)) this.#segments.set(number, { identity, looks: [{ sizeBytes, atMs }] })
      else if (last === undefined || last.sizeBytes < sizeBytes) known.looks.push({ sizeBytes, atMs })
    }
  }

  /** When the first `end` bytes of a file were first seen to be there; undefined when they have not been. */
  firstSeenMs(segment: Pick<LocalSegment, 'number' | 'identity'>, end: number): number | undefined {
    const known = this.#segments.get(segment.number)
    return known?.identity === segment.identity ? known.looks.find(({ sizeBytes }) => sizeBytes >= end)?.atMs : undefined
  }
}
