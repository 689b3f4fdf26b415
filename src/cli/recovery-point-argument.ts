import { isRecoveryPointId } from '../domain/recovery-point.ts'
import { PromDrError } from '../errors.ts'

/** Parses the id of a recovery point or `latest`, so that a slip is told before a repository is asked. @throws USAGE */
export function recoveryPointArgument(text: string): string {
  if (isRecoveryPointId(text) || text === 'latest') return text
  throw new PromDrError('USAGE', `${JSON.stringify(text)} is not the id of a recovery point`, {
    hint: '"prom-dr list" shows the ids, which look like 20261121T023615Z-79535b5f; "latest" is the newest',
  })
}
