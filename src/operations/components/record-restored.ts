import { messageOf } from '../../errors.ts'
import { recordRestore } from '../../repository/records.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import type { NamedStore } from '../backup/backup-context.ts'
import type { RestoredComponentReport } from './restore-components-report.ts'

export interface RecordRestoredRequest {
  instance: string
  repositories: readonly NamedStore[]
  components: readonly RestoredComponentReport[]
  /** What was asked for and measured, as the report tells it. */
  measured: { requestedAt: string; recoverableAt: string | null; stages: readonly { name: string; durationMs: number }[]; bytes: number }
  clock: Clock
  logger: Logger
  signal: AbortSignal
}

/**
 * Keeps what became of each component, in the repository that the first came from. They stand also when that cannot be written: it may be
 * read-only for this host. @returns what to warn of
 */
export async function recordRestored(request: RecordRestoredRequest): Promise<string[]> {
  const { instance, repositories, components, measured, clock, logger, signal } = request
  const source = repositories.find(({ name }) => name === components[0]?.repository)
  if (source === undefined) return []
  const record = {
    ...measured, rpoSeconds: null, rtoSeconds: null,
    components: components.map(({ component, kind, recoveryPoint, repository, files, bytes, ok, error }) => ({ component, kind, recoveryPoint, repository, files, bytes, ok, ...(error !== undefined && { error: error.code }) })),
  }
  try {
    await recordRestore(source.store, instance, { at: clock.now(), record, signal })
    return []
  } catch (error) {
    signal.throwIfAborted()
    logger.warn({ error: messageOf(error) }, 'the record of this restore could not be kept in the repository')
    return [`the record of this restore could not be kept in ${source.name}: ${messageOf(error)}`]
  }
}
