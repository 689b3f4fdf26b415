/**
 * Every failure that prom-dr can name. The code is what scripts match on and what `cli/exit-codes.ts` maps to
 * an exit code; the message says what failed, with the value; the hint says what to do now.
 */
export type ErrorCode =
  // usage and configuration
  | 'USAGE'
  | 'CONFIG_INVALID'
  // the server
  | 'PROMETHEUS_UNREACHABLE'
  | 'PROMETHEUS_UNAUTHORIZED'
  | 'PROMETHEUS_NOT_READY'
  | 'PROMETHEUS_BAD_RESPONSE'
  | 'ADMIN_API_DISABLED'
  | 'DATA_DIR_UNREADABLE'
  | 'DATA_DIR_MISMATCH'
  | 'ALERTMANAGER_UNREACHABLE'
  | 'ALERTMANAGER_BAD_RESPONSE'
  // local files and programs
  | 'DISK_FULL'
  | 'FILE_SYSTEM'
  | 'PROGRAM_MISSING'
  | 'PROGRAM_FAILED'
  // object stores
  | 'OBJECT_EXISTS'
  | 'OBJECT_NOT_FOUND'
  | 'STORE_UNREACHABLE'
  | 'STORE_DENIED'
  | 'STORE_BAD_RESPONSE'
  | 'STORE_REJECTED'
  | 'KEY_INVALID'
  // the repository
  | 'REPOSITORY_NOT_FOUND'
  | 'REPOSITORY_TOO_NEW'
  | 'INSTANCE_TAKEN'
  | 'INSTANCE_NOT_FOUND'
  | 'LOCKED'
  | 'LEASE_LOST'
  | 'SUPERSEDED'
  | 'DAMAGED'
  | 'CONTENTION'
  // components and encryption
  | 'COMPONENT_FAILED'
  | 'COMPONENT_REFUSED'
  | 'KEY_MISSING'
  | 'KEYS_INCOMPLETE'
  // restore
  | 'NO_RECOVERY_POINT'
  | 'MOMENT_UNREACHABLE'
  | 'PREFLIGHT_REFUSED'
  | 'ANSWERS_DIFFER'
  // the rest
  | 'INTERRUPTED'
  | 'INTERNAL'

export interface PromDrErrorOptions {
  /** What the reader should do now: a command, a setting or a runbook. */
  hint?: string
  cause?: unknown
  /** Facts for `--json` and logs; never secrets. */
  details?: Record<string, unknown>
}

/** The one error class of prom-dr. Anything else that reaches the launcher is a bug (INTERNAL). */
export class PromDrError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly details: Record<string, unknown> | undefined

  constructor(code: ErrorCode, message: string, options: PromDrErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'PromDrError'
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }
}

/** True when `error` is a PromDrError with one of the codes: catch only the code you expect. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is PromDrError {
  return error instanceof PromDrError && codes.includes(error.code)
}

/** The message of anything thrown, with the causes that add something. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? error.cause.message : undefined
  if (error instanceof PromDrError || cause === undefined || error.message.includes(cause)) return error.message
  return `${error.message}: ${cause}`
}

/** `error.code` of a Node system error (`ENOENT`, `ECONNREFUSED`…), undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const code = (error as NodeJS.ErrnoException).code
  return typeof code === 'string' ? code : undefined
}
