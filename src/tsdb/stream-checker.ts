import { PromDrError } from '../errors.ts'

/**
 * Checks a file that arrives in pieces, split anywhere, without keeping it. Both calls throw DAMAGED with the file's name
 * and the byte offset of what is wrong; after that the checker is not used again. `write` keeps no reference to `bytes`.
 */
export interface StreamChecker<Result> {
  write(bytes: Uint8Array): void
  /** The file is over: it must be whole. */
  end(): Result
}

/** More than any entry has: a length beyond it is not believed, whatever the file's size. */
export const maxEntryBytes = 64 * 1024 * 1024

export function damagedAt(file: string, offset: number, problem: string): PromDrError {
  return new PromDrError('DAMAGED', `${file} is damaged at byte ${offset}: ${problem}`, {
    hint: 'take the block from another copy; "prom-dr verify" lists what is damaged',
    details: { file, offset },
  })
}
