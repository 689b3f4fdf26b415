import type { WalChain } from './wal-stream.ts'

/** The local file of the segment that a stored stream ends in. */
export interface LocalTail {
  sizeBytes: number
  /** Whether its first bytes are those that were shipped. */
  prefixMatches: boolean
}

export type ShipDecision =
  | { kind: 'continue'; segment: number; offset: number }
  /** The local bytes do not continue what is stored; `reason` says why. */
  | { kind: 'new-generation'; reason: string }

/**
 * Whether a log continues what is stored of it. Only a matching prefix shows that it does: segment numbers and lengths of two
 * histories can be the same. A segment that is gone shows nothing, even when all of it was shipped.
 */
export function decideShip(chain: WalChain, tail: LocalTail | undefined): ShipDecision {
  const { position } = chain
  if (position === undefined) return { kind: 'new-generation', reason: 'nothing was shipped yet' }
  const name = `segment ${String(position.segment).padStart(8, '0')}`
  if (tail !== undefined) {
    if (tail.sizeBytes < position.offset) return { kind: 'new-generation', reason: `${name} has ${tail.sizeBytes} bytes, ${position.offset} were shipped: it was repaired or replaced` }
    if (!tail.prefixMatches) return { kind: 'new-generation', reason: `${name} is not the one that was shipped: it was repaired or replaced, or this is another server's data` }
    return { kind: 'continue', ...position }
  }
  return { kind: 'new-generation', reason: `${name} is gone, so that nothing shows that what follows it continues what was shipped` }
}
