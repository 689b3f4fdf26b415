import { tmpdir } from 'node:os'
import type { Operations } from './cli/operations.ts'
import type { Config } from './config/config.ts'
import { renderConfig } from './config/render-config.ts'
import { composeComponents, composeEncryption } from './compose-components.ts'
import { type OpenedRepository, type UploadSettings, describeEncryption, openRepositories, sparingUploads } from './compose-stores.ts'
import { defaultRetention } from './domain/retention.ts'
import type { Progress } from './domain/progress.ts'
import type { PrometheusVersion } from './domain/prometheus-version.ts'
import { hasCode } from './errors.ts'
import { openMetricsFile } from './integrations/node-exporter/metrics-file.ts'
import { createPrometheusApi } from './integrations/prometheus/http-prometheus-api.ts'
import { binaryVersion } from './integrations/prometheus/prometheus-version.ts'
import { startThrowawayServer } from './integrations/prometheus/throwaway-server.ts'
import type { StartServer } from './operations/answers/answer-check.ts'
import { archive } from './operations/components/archive.ts'
import { backup } from './operations/backup/backup.ts'
import type { BackupRequest } from './operations/backup/backup-report.ts'
import type { ComponentsContext } from './operations/components/components-context.ts'
import { doctor } from './operations/doctor/doctor.ts'
import { expire } from './operations/expire/expire.ts'
import { hold } from './operations/expire/hold.ts'
import { init } from './operations/init.ts'
import { list } from './operations/report/list.ts'
import { reEncrypt } from './operations/re-encrypt/re-encrypt.ts'
import { restoreParts } from './operations/components/restore-parts.ts'
import { ship } from './operations/ship/ship.ts'
import { diffArchives, showFile } from './operations/components/show-archives.ts'
import { show } from './operations/report/show.ts'
import type { NamedStore } from './operations/backup/backup-context.ts'
import { type StatusContext, status } from './operations/report/status.ts'
import { verify } from './operations/verify/verify.ts'
import { systemClock } from './system/clock.ts'
import { createCpuLimit } from './system/cpu-limit.ts'
import { fileMode } from './system/file-mode.ts'
import type { Logger } from './system/logger.ts'
import { isDeadHere, ownerNames, ownerNumbers, thisProcess } from './system/machine.ts'
import { stepBack } from './system/priority.ts'
import { writeNewFile } from './system/new-file.ts'
import { processesUsing } from './system/open-files.ts'
import { keepHeapSmall } from './system/small-heap.ts'

/** What a run of the program hands to its operations. */
export interface Surroundings {
  logger: Logger
  progress: Progress
  signal: AbortSignal
  /** When the command was given, of the monotonic clock, ms: 0 is the start of the process. */
  decidedAtMs: number
}

/** The one place that constructs adapters: the verbs, wired. Nothing is connected to before one is called. */
export function compose(config: Config, surroundings: Surroundings): Operations {
  const { logger, progress, signal } = surroundings
  const clock = systemClock
  const { url, basicAuth, bearerTokenFile, tls, timeoutMs, binary = 'prometheus', dataDir } = config.prometheus
  const prometheus = createPrometheusApi({ url, timeoutMs, ...(basicAuth && { basicAuth }), ...(bearerTokenFile !== undefined && { bearerTokenFile }), ...(tls && { tls }) })
  let opened: Promise<OpenedRepository[]> | undefined
  const repositories = (uploads: UploadSettings = {}) => (opened ??= openRepositories(config, { logger, uploads }))
  const self = thisProcess()
  const isDead = (other: typeof self) => isDeadHere(other, self)
  const uid = process.getuid?.() ?? 0
  const filesAtOnce = config.transfer.concurrency
  const target = config.restore.target ?? dataDir
  const localVersion = () => versionOf(binary)
  const shared = { clock, logger, progress, signal }
  const encryption = composeEncryption(config.encryption, logger)
  const components: ComponentsContext = {
    components: composeComponents(config.components, { clock, prometheus }),
    ...encryption,
    scratch: { parent: tmpdir(), self, isDead },
    places: new Map(config.repositories.map(({ name, url: repositoryUrl, s3 }) => [name, { url: repositoryUrl, ...(s3 && { s3 }) }])),
  }
  const backUp = (request: BackupRequest, until = signal) => backup({
    ...shared, signal: until, instance: config.instance, prometheus, dataDir, repositories, components, self, isDead, ownerNames, answersFor: config.encryption.data ? encryption.encryption : undefined,
    settings: { compactedSpanMs: config.backup.compactedSpan, timezone: config.backup.timezone, knownAnswers: config.backup.knownAnswers, filesAtOnce },
  }, request)
  return {
    backup: (request) => backUp(request),
    archive: (request) => archive({ ...shared, instance: config.instance, prometheus, dataDir, repositories, components, self, isDead, ownerNames, timezone: config.backup.timezone }, request),
    ship: async (request) => {
      stepBack(config.ship.niceness)
      const metricsFile = config.ship.metricsFile === undefined ? undefined : await openMetricsFile(config.ship.metricsFile)
      const stores = await repositories(sparingUploads)
      // V8 takes what was compiled for the bundle only with the flags that it was compiled with: not before all is loaded.
      keepHeapSmall()
      return ship({
        instance: config.instance, prometheus, dataDir, repositories: stores, settings: config.ship, self, isDead, ownerNames, cpuLimit: createCpuLimit({ cores: config.ship.cpuCores, clock }), metricsFile, clock, logger, signal,
        backUp: config.ship.backupAfterGap ? ({ repositories: names, signal: until }) => backUp({ head: 'always', adopt: false, repositories: names }, until) : undefined,
      }, request)
    },
    list: async (request) => list({ repositories: await repositories(), signal }, request),
    show: async (request) => show({ repositories: await repositories(), instance: config.instance, signal }, request),
    showFile: async (request) => showFile({ repositories: await repositories(), instance: config.instance, components, signal }, request),
    diff: async (request) => diffArchives({ repositories: await repositories(), instance: config.instance, components, signal }, request),
    status: async (request) => status({ repositories: await repositories(), shipIntervalMs: config.ship.intervalMs, clock, signal, costs: await costSettings(config, repositories()) }, request),
    expire: async (request) => expire({
      instance: config.instance, timezone: config.backup.timezone, self, isDead, clock, logger, signal,
      repositories: (await repositories()).map((repository) => ({ ...repository, retention: config.repositories.find(({ name }) => name === repository.name)?.retention ?? defaultRetention })),
    }, request),
    hold: async (request) => hold({ repositories: await repositories(), instance: config.instance, clock, signal }, request),
    reEncrypt: async (request) => reEncrypt({ ...shared, repositories: await repositories(), encryption: encryption.encryption, data: config.encryption.data, scratch: components.scratch, filesAtOnce, self, isDead }, request),
    verify: async (request) => verify({ ...shared, instance: config.instance, repositories: await repositories(), scratch: components.scratch, startServer: serverStarter(binary), opening: encryption.opening, settings: { filesAtOnce } }, request),
    restore: async (request) => restoreParts({
      ...shared, components, instance: config.instance, repositories: await repositories(), startServer: serverStarter(binary), opening: encryption.opening, decidedAtMs: surroundings.decidedAtMs,
      settings: { target, owner: config.restore.owner, retentionMs: config.restore.retentionMs, filesAtOnce },
      probe: { prometheus, processesUsing, ownerNumbers, localVersion, uid, gids: [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])] },
    }, request),
    doctor: async () => doctor({
      components, instance: config.instance, prometheus, dataDir, localVersion, clock, signal,
      // It wants to know at once: outages are not waited out.
      repositories: await openRepositories(config, { logger, retryBudgetMs: 0 }),
      host: { nodeVersion: process.version, machineId: self.machineId, uid, config: describeFile(config) }, encryption: describeEncryption(config.encryption, encryption.opening),
      settings: { target, owner: config.restore.owner, retentionMs: config.restore.retentionMs, metricsFile: config.ship.metricsFile }, ownerNumbers,
    }),
    init: (request) => init({
      instance: config.instance, prometheus, prometheusUrl: url, repositoryUrl: config.repositories[0]?.url ?? '', render: renderConfig, writeNewFile, signal,
    }, request),
    async close() {
      prometheus.close()
      // Stores that could not be opened are told about by the verb that wanted them.
      const stores = (await opened?.catch(() => [])) ?? []
      await Promise.all(stores.flatMap(({ store, tiering }) => [store.close(), tiering?.objects.close()]))
    },
  }
}

async function costSettings(config: Config, opened: Promise<readonly NamedStore[]>): Promise<NonNullable<StatusContext['costs']>> {
  return {
    retentions: new Map(config.repositories.map(({ name, retention }) => [name, retention])),
    tierings: new Map((await opened).flatMap(({ name, tiering }) => (tiering === undefined ? [] : [[name, tiering.objects]]))),
    timezone: config.backup.timezone,
    prices: config.prices,
  }
}

function serverStarter(binary: string): StartServer {
  return async (dataDir, { externalLabels, flags, logFile, signal }) => {
    const server = await startThrowawayServer(dataDir, { binary, externalLabels, flags, logFile, signal })
    return { api: server.api, stop: () => server.stop() }
  }
}

/** Undefined where no Prometheus is installed: a restore can go without. */
async function versionOf(binary: string): Promise<PrometheusVersion | undefined> {
  try {
    return await binaryVersion(binary)
  } catch (error) {
    if (hasCode(error, 'PROGRAM_MISSING')) return undefined
    throw error
  }
}

function describeFile(config: Config): { path: string; mode: number; holdsSecrets: boolean } | null {
  if (config.source === null) return null
  const holdsSecrets = config.prometheus.basicAuth?.password !== undefined || config.repositories.some(({ s3 }) => s3?.secretAccessKey !== undefined) || config.encryption.passphrase !== undefined
  return { path: config.source, mode: fileMode(config.source), holdsSecrets }
}
