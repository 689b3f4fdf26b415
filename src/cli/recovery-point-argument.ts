import { isRecoveryPointId } from '../domain/recovery-point.ts'
import { PromDrError } from '../errors.ts'

/** A parser for recovery point ids, so that a slip is told before a repository is asked. It throws USAGE. */
export function recoveryPointArgument(options: { latest: boolean }): (text: string) => string {
  return (text) => {
    if (isRecoveryPointId(text) || (options.latest && text === 'latest')) return text
    throw new PromDrError('USAGE', `${JSON.stringify(text)} is not the id of a recovery point`, {
      hint: `"prom-dr list" shows the ids, which look like 20261121T023615Z-79535b5f${options.latest ? '; "latest" is the newest' : ''}`,
    })
  }
}
