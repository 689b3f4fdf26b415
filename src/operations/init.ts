import { resolve } from 'node:path'
import { PromDrError } from '../errors.ts'
import type { PrometheusApi } from '../integrations/prometheus/prometheus-api.ts'
import type { InitReport, InitRequest } from './init-report.ts'

/** What a new configuration is written from; absent facts could not be found out. */
export interface DiscoveredFacts {
  instance: string
  prometheusUrl: string
  version: string | undefined
  dataDir: string | undefined
  adminApi: boolean | undefined
  retentionMs: number | undefined
  repositoryUrl: string
}

export interface InitContext {
  instance: string
  prometheus: PrometheusApi
  prometheusUrl: string
  repositoryUrl: string
  render(facts: DiscoveredFacts): string
  /** @throws USAGE when the file exists */
  writeNewFile(path: string, text: string): Promise<void>
  signal: AbortSignal
}

/**
 * Writes a commented configuration from what it can find out. A server that does not answer is no reason to write
 * nothing: what is not known stays a comment, and the report says so. An existing file is never touched.
 */
export async function init(context: InitContext, request: InitRequest): Promise<InitReport> {
  const { facts, warnings } = await discover(context)
  const text = context.render(facts)
  const path = request.stdout ? null : resolve(request.output)
  if (path !== null) await context.writeNewFile(path, text)
  return { path, text, discovered: described(facts), warnings }
}

async function discover(context: InitContext): Promise<{ facts: DiscoveredFacts; warnings: string[] }> {
  const { prometheus, instance, prometheusUrl, repositoryUrl } = context
  const options = { signal: context.signal }
  try {
    const [build, flags, dataDir, retention] = await Promise.all([prometheus.buildInfo(options), prometheus.flags(options), prometheus.dataDirectory(options), prometheus.retention(options)])
    const adminApi = flags['web.enable-admin-api'] === 'true'
    const warnings = adminApi ? [] : ['the admin API is off: backups need --web.enable-admin-api']
    return { facts: { instance, prometheusUrl, version: build.version, dataDir, adminApi, retentionMs: retention.timeMs, repositoryUrl }, warnings }
  } catch (error) {
    if (!(error instanceof PromDrError) || !error.code.startsWith('PROMETHEUS_')) throw error
    const facts = { instance, prometheusUrl, version: undefined, dataDir: undefined, adminApi: undefined, retentionMs: undefined, repositoryUrl }
    return { facts, warnings: [`nothing could be learnt from the server: ${error.message}; correct "prometheus" in the configuration, or remove that file and run PROM_DR_PROMETHEUS_URL=http://HOST:PORT prom-dr init`] }
  }
}

function described(facts: DiscoveredFacts): { name: string; value: string }[] {
  return Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value: String(value) }]))
}
