import type { ErrorCode } from '../errors.ts'

/** What prom-dr ends with. Scripts and cron wrappers rely on it. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  /** What is missing is listed. */
  partly: 3,
  /** Preflight said no; nothing changed. */
  refused: 4,
  verificationFailed: 5,
  locked: 6,
  momentUnreachable: 7,
  /** Nothing to work with is in reach. */
  unreachable: 8,
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

const byErrorCode: Readonly<Partial<Record<ErrorCode, ExitCode>>> = {
  USAGE: exitCodes.usage,
  CONFIG_INVALID: exitCodes.usage,
  REPOSITORY_TOO_NEW: exitCodes.usage,
  INSTANCE_NOT_FOUND: exitCodes.usage,
  PREFLIGHT_REFUSED: exitCodes.refused,
  INSTANCE_TAKEN: exitCodes.refused,
  COMPONENT_REFUSED: exitCodes.refused,
  KEY_MISSING: exitCodes.refused,
  DAMAGED: exitCodes.verificationFailed,
  ANSWERS_DIFFER: exitCodes.verificationFailed,
  LOCKED: exitCodes.locked,
  LEASE_LOST: exitCodes.locked,
  SUPERSEDED: exitCodes.locked,
  NO_RECOVERY_POINT: exitCodes.momentUnreachable,
  MOMENT_UNREACHABLE: exitCodes.momentUnreachable,
  STORE_UNREACHABLE: exitCodes.unreachable,
  REPOSITORY_NOT_FOUND: exitCodes.unreachable,
  PROMETHEUS_UNREACHABLE: exitCodes.unreachable,
  PROMETHEUS_NOT_READY: exitCodes.unreachable,
  ALERTMANAGER_UNREACHABLE: exitCodes.unreachable,
  INTERRUPTED: exitCodes.interrupted,
}

/** The exit code of a failure; 1 where the table says nothing more exact. */
export function exitCodeOf(code: string): ExitCode {
  return (byErrorCode as Record<string, ExitCode | undefined>)[code] ?? exitCodes.failed
}

/** Where several apply: 5, then 8, then 3, then any other that is not 0. */
export function worstOf(...codes: ExitCode[]): ExitCode {
  const first = [exitCodes.verificationFailed, exitCodes.unreachable, exitCodes.partly].find((code) => codes.includes(code))
  return first ?? codes.find((code) => code !== exitCodes.done) ?? exitCodes.done
}
