import { createHash } from 'node:crypto'
import { PromDrError } from '../errors.ts'
import { recycle } from '../system/direct-io.ts'
import type { StreamChecker } from './stream-checker.ts'

/** What a file is known to be before it arrives. */
export interface ExpectedFile {
  sizeBytes: number
  /** Lowercase hex; undefined where the uploader stored none: the checker alone has to do. */
  sha256: string | undefined
}

/** Counts, hashes and checks the bytes of one file in order, without keeping them. Both calls throw DAMAGED. */
export class FileIntake<Result> {
  readonly #name: string
  readonly #expected: ExpectedFile
  readonly #newChecker: (() => StreamChecker<Result>) | undefined
  #hash = createHash('sha256')
  #checker: StreamChecker<Result> | undefined
  #bytes = 0

  /** `name` is for messages only; `newChecker` makes a checker of the content. */
  constructor(name: string, expected: ExpectedFile, newChecker?: () => StreamChecker<Result>) {
    this.#name = name
    this.#expected = expected
    this.#newChecker = newChecker
    this.#checker = newChecker?.()
  }

  restart(): void {
    this.#hash = createHash('sha256')
    this.#checker = this.#newChecker?.()
    this.#bytes = 0
  }

  take(piece: Uint8Array): void {
    this.#bytes += piece.byteLength
    if (this.#bytes > this.#expected.sizeBytes) throw this.#damaged(`it has more than ${this.#expected.sizeBytes} bytes`)
    this.#hash.update(piece)
    this.#checker?.write(piece)
  }

  /** For a piece that nobody looks at afterwards. */
  takeAndRecycle(piece: Uint8Array): void {
    this.take(piece)
    recycle(piece)
  }

  end(): Result | undefined {
    const { sizeBytes, sha256 } = this.#expected
    if (this.#bytes !== sizeBytes) throw this.#damaged(`it has ${this.#bytes} bytes instead of ${sizeBytes}`)
    const digest = this.#hash.digest('hex')
    if (sha256 !== undefined && digest !== sha256) throw this.#damaged(`its SHA-256 is ${digest} instead of ${sha256}`)
    return this.#checker?.end()
  }

  #damaged(reason: string): PromDrError {
    return new PromDrError('DAMAGED', `${this.#name} is not what was stored: ${reason}`, { hint: 'run "prom-dr verify --read-data" to see which stored objects are damaged' })
  }
}
