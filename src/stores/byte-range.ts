import { PromDrError } from '../errors.ts'
import type { ByteRange } from './object-store.ts'

/**
 * The half-open range within an object of `sizeBytes`: `end` is clipped to the size.
 * @throws STORE_REJECTED when the range is empty or starts beyond the end, as S3 answers 416
 */
export function resolveRange(key: string, sizeBytes: number, range?: ByteRange): { start: number; end: number } {
  const start = range?.start ?? 0
  const end = Math.min(range?.end ?? sizeBytes, sizeBytes)
  if (range === undefined || (start === 0 && range.end === undefined)) return { start: 0, end: sizeBytes }
  if (!Number.isSafeInteger(start) || start < 0 || end <= start) {
    throw new PromDrError('STORE_REJECTED', `bytes ${start} to ${range.end ?? 'the end'} of ${key} do not exist: it has ${sizeBytes} bytes`, {
      hint: 'the object is shorter than its manifest says: run "prom-dr verify"',
    })
  }
  return { start, end }
}
