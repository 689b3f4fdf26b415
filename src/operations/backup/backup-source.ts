import { parse } from 'yaml'
import { z } from 'zod'
import { parseDuration } from '../../domain/duration.ts'
import type { Source } from '../../domain/recovery-point.ts'
import { PromDrError } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import { directoryFacts, sameDirectory } from '../../tsdb/data-directory-access.ts'
import { directoryContents, listBlocks } from '../../tsdb/data-directory.ts'
import { tryToNote } from '../../tsdb/snapshots.ts'

/** What a backup has to know of its server before it starts. */
export interface ServerFacts {
  source: Source
  /** The data directory as this process reaches it. */
  dataDir: string
  minBlockMs: number
  maxBlockMs: number
  /** The longest time that a scrape can take to deliver samples of its start. */
  scrapeTimeoutMs: number
  scrapeIntervalMs: number
  /** 0 when samples have to arrive in order. */
  outOfOrderWindowMs: number
}

export interface SourceRequest {
  prometheus: PrometheusApi
  /** As configured; otherwise what the server says. */
  configuredDataDir?: string | undefined
  hostname: string
  ownerNames(uid: number, gid: number): Promise<{ user: string | null; group: string | null }>
  signal?: AbortSignal | undefined
}

/**
 * Asks the server what it is and makes sure that the data directory is its own and readable.
 * @throws PROMETHEUS_*, DATA_DIR_MISMATCH, DATA_DIR_UNREADABLE
 */
export async function readServerFacts(request: SourceRequest): Promise<ServerFacts> {
  const { prometheus } = request
  const options = request.signal === undefined ? {} : { signal: request.signal }
  const [flags, build, runtime, config, retention, minBlockMs, maxBlockMs] = await Promise.all([
    prometheus.flags(options),
    prometheus.buildInfo(options),
    prometheus.dataDirectory(options),
    prometheus.config(options),
    prometheus.retention(options),
    prometheus.minBlockDurationMs(options),
    prometheus.maxBlockDurationMs(options),
  ])
  const dataDir = await checkedDataDir(runtime, request.configuredDataDir)
  await requireDataDir(dataDir, { served: runtime, url: prometheus.url })
  const owner = await directoryFacts(dataDir)
  const names = await request.ownerNames(owner.uid, owner.gid)
  const timing = timings(config.yaml)
  return {
    dataDir,
    minBlockMs,
    maxBlockMs,
    ...timing,
    source: {
      prometheusVersion: build.version,
      hostname: request.hostname,
      dataDir,
      owner: { uid: owner.uid, gid: owner.gid, ...names },
      retention: { timeMs: retention.timeMs ?? null, sizeBytes: retention.sizeBytes ?? null },
      externalLabels: config.externalLabels,
      scrapeTimeoutMs: timing.scrapeTimeoutMs,
      outOfOrderWindowMs: timing.outOfOrderWindowMs,
      flags,
    },
  }
}

/**
 * What a snapshot needs is looked at before anything is written anywhere: a backup that is refused has not even taken its name.
 * @throws ADMIN_API_DISABLED, DATA_DIR_UNREADABLE, DISK_FULL
 */
export async function requireSnapshots({ source, dataDir }: ServerFacts, url: string): Promise<void> {
  if (source.flags['web.enable-admin-api'] === 'false') {
    throw new PromDrError('ADMIN_API_DISABLED', `Prometheus at ${url} runs without its admin API`, {
      hint: 'start it with --web.enable-admin-api (Debian: ARGS in /etc/default/prometheus): without it there are no snapshots',
    })
  }
  await tryToNote(dataDir)
}

/**
 * The configured directory may be another name for the server's (a container's volume), but not a directory of
 * another server on this machine. That it is the right one is proved by the snapshot appearing in it.
 */
async function checkedDataDir(serverDir: string, configured: string | undefined): Promise<string> {
  if (configured === undefined || configured === serverDir) return serverDir
  if ((await sameDirectory(configured, serverDir)) !== false) return configured
  throw new PromDrError('DATA_DIR_MISMATCH', `prometheus.dataDir is ${configured}, but the server keeps its data in ${serverDir}`, {
    hint: `remove "dataDir" from the configuration, or set it to ${serverDir}; nothing was changed`,
  })
}

/** Before a snapshot is taken that would be looked for in vain, and could not be removed. */
async function requireDataDir(dataDir: string, server: { served: string; url: string }): Promise<void> {
  const { state, names } = await directoryContents(dataDir)
  if (state === 'missing') {
    throw new PromDrError('DATA_DIR_UNREADABLE', `${dataDir} does not exist on this host`, {
      hint: `the server at ${server.url} keeps its data in ${server.served}: run prom-dr on its host, or set prometheus.dataDir to where this host sees that directory`,
    })
  }
  if (state === 'not a directory' || (state !== 'symbolic link' && !names.includes('wal'))) {
    throw new PromDrError('DATA_DIR_MISMATCH', `${dataDir} is not the data directory of a running Prometheus: ${state === 'not a directory' ? 'it is a file' : 'there is no "wal" in it'}`, {
      hint: `the server at ${server.url} keeps its data in ${server.served}; set prometheus.dataDir to where this host sees that directory`,
    })
  }
  await listBlocks(dataDir)
}

const duration = z.string().optional()
const configSchema = z.looseObject({
  global: z.looseObject({ scrape_interval: duration, scrape_timeout: duration }).optional(),
  scrape_configs: z.array(z.looseObject({ scrape_timeout: duration })).nullish(),
  storage: z.looseObject({ tsdb: z.looseObject({ out_of_order_time_window: duration }).nullish() }).nullish(),
})

/** How long after its time a sample may still be logged, ms: a scrape has its timeout to end, and some may come out of order. */
export function longestDelayMs(yaml: string): number {
  const { scrapeTimeoutMs, outOfOrderWindowMs } = timings(yaml)
  return Math.max(scrapeTimeoutMs, outOfOrderWindowMs)
}

/** Defaults are Prometheus's own (config.DefaultGlobalConfig). */
function timings(yaml: string): Pick<ServerFacts, 'scrapeTimeoutMs' | 'scrapeIntervalMs' | 'outOfOrderWindowMs'> {
  const parsed = configSchema.safeParse(parse(yaml) ?? {})
  const config = parsed.success ? parsed.data : {}
  const timeouts = [config.global?.scrape_timeout ?? '10s', ...(config.scrape_configs ?? []).map((job) => job.scrape_timeout ?? '0s')]
  return {
    scrapeTimeoutMs: Math.max(...timeouts.map((text) => parseDuration(text))),
    scrapeIntervalMs: parseDuration(config.global?.scrape_interval ?? '1m'),
    outOfOrderWindowMs: parseDuration(config.storage?.tsdb?.out_of_order_time_window ?? '0s'),
  }
}
