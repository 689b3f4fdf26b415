import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PrometheusServer, startPrometheus } from '../src/integrations/prometheus/prometheus-server.ts'

/**
 * A Prometheus that scrapes nothing, takes remote writes and keeps history for ever, with default block sizes.
 * @param workDir where its configuration and its log go; @param dataDir its TSDB
 */
export async function startBenchPrometheus(workDir: string, dataDir: string, flags: readonly string[] = []): Promise<PrometheusServer> {
  await mkdir(dataDir, { recursive: true })
  const configFile = join(workDir, 'prometheus.yml')
  await writeFile(configFile, 'global:\n  external_labels: {cluster: bench, replica: a}\n')
  return startPrometheus({
    dataDir,
    config: { file: configFile },
    flags: ['--storage.tsdb.retention.time=100y', '--web.enable-admin-api', '--web.enable-remote-write-receiver', '--log.level=warn', ...flags],
    logFile: join(workDir, 'prometheus.log'),
  })
}

/** The sum of a metric of the server itself over its labels; 0 when it is not there. */
export async function ownMetric(server: PrometheusServer, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const values = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
  return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
