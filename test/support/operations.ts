import type { Encryption } from '../../src/domain/encryption.ts'
import type { PrometheusVersion } from '../../src/domain/prometheus-version.ts'
import { noProgress } from '../../src/domain/progress.ts'
import { startThrowawayServer } from '../../src/integrations/prometheus/throwaway-server.ts'
import type { PrometheusApi } from '../../src/integrations/prometheus/prometheus-api.ts'
import { binaryVersion } from '../../src/integrations/prometheus/prometheus-version.ts'
import type { StartServer } from '../../src/operations/answers/answer-check.ts'
import { type BackupContext, type NamedStore, backup } from '../../src/operations/backup/backup.ts'
import type { BackupReport, BackupRequest } from '../../src/operations/backup/backup-report.ts'
import { restore } from '../../src/operations/restore/restore.ts'
import type { RestoreReport, RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import { verify } from '../../src/operations/verify/verify.ts'
import type { VerifyReport, VerifyRequest } from '../../src/operations/verify/verify-report.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { isDeadHere, ownerNames, ownerNumbers, thisProcess } from '../../src/system/machine.ts'
import { processesUsing } from '../../src/system/open-files.ts'
import { temporaryDirectory } from './cleanup.ts'
import { prometheusBinary } from './prometheus.ts'

/** The verbs on a server and on stores that a test chose: fakes and wrappers included, which `compose` does not construct. */
export interface TestOperations {
  backup(request?: Partial<BackupRequest>): Promise<BackupReport>
  verify(request?: Partial<VerifyRequest>): Promise<VerifyReport>
  restore(target: string, request?: Partial<RestoreRequest>): Promise<RestoreReport>
}

/** `localVersion`: of the Prometheus on the host that is restored onto; default the installed one. */
type Overrides = Partial<Omit<BackupContext, 'settings'>> & { opening?: Pick<Encryption, 'decrypt'>; settings?: Partial<BackupContext['settings']>; localVersion?: PrometheusVersion }

export function operationsOn(prometheus: PrometheusApi, stores: ObjectStore | readonly NamedStore[], overrides: Overrides = {}): TestOperations {
  const repositories: readonly NamedStore[] = 'url' in stores ? [{ name: 'primary', store: stores }] : stores
  const { settings, localVersion, opening, ...others } = overrides
  const self = thisProcess()
  const context: BackupContext = {
    instance: 'prom-a', prometheus, repositories: async () => repositories, self, ownerNames,
    isDead: (other) => isDeadHere(other, self),
    clock: systemClock, logger: silentLogger, progress: noProgress, signal: new AbortController().signal,
    settings: { timezone: 'UTC', knownAnswers: { series: 10, samplesPerSeries: 20, queries: [] }, filesAtOnce: 4, ...settings },
    ...others,
  }
  const shared = { instance: context.instance, repositories, clock: context.clock, logger: context.logger, progress: context.progress, signal: context.signal, startServer: throwawayServer, opening }
  return {
    backup: (request) => backup(context, { head: 'auto', adopt: false, repositories: [], ...request }),
    verify: async (request) => verify({ ...shared, scratch: { parent: await temporaryDirectory('scratch'), self, isDead: context.isDead }, settings: { filesAtOnce: 4 } }, { ids: [], repositories: [], readData: false, startServer: false, ...request }),
    restore: (target, request) => restore({
      ...shared, instance: context.instance, decidedAtMs: performance.now(),
      settings: { target, filesAtOnce: 4 },
      probe: { prometheus, processesUsing, ownerNumbers, localVersion: async () => localVersion ?? binaryVersion(prometheusBinary()), uid: process.getuid?.() ?? 0, gids: [process.getegid?.() ?? 0] },
    }, { at: { kind: 'latest' }, target, repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: true, sideInstance: true, ...request }),
  }
}

const throwawayServer: StartServer = async (dataDir, { externalLabels, flags, logFile, signal }) => {
  const server = await startThrowawayServer(dataDir, { binary: prometheusBinary(), externalLabels, flags, logFile, signal })
  return { api: server.api, stop: () => server.stop() }
}

/** What a promise is rejected with; fails the test when it is not. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const value = await promise.then((result) => ({ result }), (error: unknown) => ({ error }))
  if ('error' in value) return value.error
  throw new Error(`it was not rejected but gave ${JSON.stringify(value.result)?.slice(0, 300)}`)
}
