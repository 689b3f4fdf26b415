import { PromDrError } from '../errors.ts'

/** The error of a call whose signal fired. */
export function interrupted(signal?: AbortSignal): PromDrError {
  return new PromDrError('INTERRUPTED', 'interrupted', signal?.reason === undefined ? {} : { cause: signal.reason })
}

/** @throws INTERRUPTED when the signal has fired */
export function throwIfInterrupted(signal?: AbortSignal): void {
  if (signal?.aborted) throw interrupted(signal)
}
