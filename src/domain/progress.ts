/**
 * Where an operation tells how far it is. A phase that starts ends the one before it; bytes of a failed try are
 * taken back with a negative `advance`. Implementations never throw.
 */
export interface Progress {
  /** `phase` is what a person reads ("blocks"); `totalBytes` is absent where it is not known. */
  start(phase: string, totalBytes?: number): void
  advance(bytes: number): void
  finish(): void
}

export const noProgress: Progress = { start() {}, advance() {}, finish() {} }
