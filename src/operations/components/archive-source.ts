import type { Source } from '../../domain/recovery-point.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { type Identity, readIdentity } from '../../repository/identity.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { BackupContext } from '../backup/backup-context.ts'
import { readServerFacts } from '../backup/backup-source.ts'

export interface ArchiveSource {
  identityFor(store: ObjectStore): Promise<Omit<Identity, 'machineId'>>
  /** What the manifest says of the server. */
  sourceFor(identity: Omit<Identity, 'machineId'>, newest: StoredRecoveryPoint | undefined): Source
  warnings: string[]
}

/** Without these a server's components can be archived all the same, where it is known from before. */
const doneWithout = ['PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY', 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_BAD_RESPONSE', 'DATA_DIR_UNREADABLE', 'DATA_DIR_MISMATCH'] as const

/**
 * Whose components are archived: the server's own answer, or, while it is down, what an earlier run on this machine left in the repository.
 * `identityFor` throws the server's failure where there is neither.
 */
export async function readArchiveSource(context: Pick<BackupContext, 'prometheus' | 'dataDir' | 'self' | 'ownerNames' | 'instance' | 'signal'>): Promise<ArchiveSource> {
  const { self, instance, signal } = context
  try {
    const { source } = await readServerFacts({ ...context, configuredDataDir: context.dataDir, hostname: self.hostname })
    return { identityFor: async () => ({ hostname: source.hostname, dataDir: source.dataDir, externalLabels: source.externalLabels }), sourceFor: () => source, warnings: [] }
  } catch (error) {
    if (!hasCode(error, ...doneWithout)) throw error
    return {
      async identityFor(store) {
        const known = await readIdentity(store, instance, { signal })
        if (known?.machineId === self.machineId) return { hostname: known.hostname, dataDir: known.dataDir, externalLabels: known.externalLabels }
        throw new PromDrError(error.code, error.message, { hint: 'the first recovery point under an instance name needs the server: start it, or correct "prometheus" in the configuration', cause: error })
      },
      sourceFor: (identity, newest) => newest?.source ?? unknownSource(identity),
      warnings: [`the server was not asked: ${messageOf(error)}`],
    }
  }
}

function unknownSource({ hostname, dataDir, externalLabels }: Omit<Identity, 'machineId'>): Source {
  return { prometheusVersion: 'unknown', hostname, dataDir, owner: { uid: 0, gid: 0, user: null, group: null }, retention: { timeMs: null, sizeBytes: null }, externalLabels, flags: {} }
}
