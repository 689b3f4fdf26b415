import type { Source } from '../../domain/recovery-point.ts'
import { hasCode } from '../../errors.ts'
import type { BackupContext } from '../backup/backup-context.ts'
import { readServerFacts } from '../backup/backup-source.ts'

export interface ShipSourceContext extends Pick<BackupContext, 'prometheus' | 'self' | 'logger' | 'signal'> {
  /** Of a user and a group; default: nobody knows them. */
  ownerNames?: BackupContext['ownerNames'] | undefined
}

/**
 * What a restore has to know of the server that a log is of; undefined while it does not answer, as a log can be shipped while its server is
 * down.
 */
export async function shipSource({ prometheus, self, ownerNames, logger, signal }: ShipSourceContext, dataDir: string): Promise<Source | undefined> {
  try {
    // One question first: a server that is down is not asked seven.
    await prometheus.config({ signal })
    const { source } = await readServerFacts({ prometheus, configuredDataDir: dataDir, hostname: self.hostname, ownerNames: ownerNames ?? (async () => ({ user: null, group: null })), signal })
    return source
  } catch (error) {
    if (!hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY', 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_BAD_RESPONSE', 'DATA_DIR_MISMATCH', 'DATA_DIR_UNREADABLE')) throw error
    logger.info({ code: error.code, error: error.message }, 'what the server is could not be asked: this log needs a recovery point to be restored')
    return undefined
  }
}
