import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PrometheusServer, startPrometheus } from '../integrations/prometheus/prometheus-server.ts'
import { freePort } from '../system/ports.ts'
import { findProgram } from '../system/programs.ts'
import { type RunningProgram, startProgram } from '../system/running-program.ts'

/** The throwaway stack: a Prometheus that scrapes itself and a node_exporter every second. */
export interface Stack {
  workDir: string
  configFile: string
  /** The same for every server of the stack, so that the restored one answers where the lost one did. */
  listenAddress: string
  /** What was started for it, to be killed when it has served. */
  programs: Pick<RunningProgram | PrometheusServer, 'kill'>[]
}

const readyTimeoutMs = 30_000

/** Writes the configuration and starts the node_exporter. */
export async function createStack(workDir: string): Promise<Stack> {
  const listenAddress = `127.0.0.1:${await freePort()}`
  const exporterAddress = `127.0.0.1:${await freePort()}`
  const configFile = join(workDir, 'prometheus.yml')
  await writeFile(configFile, prometheusConfig(listenAddress, exporterAddress))
  // Debian calls the program prometheus-node-exporter, upstream node_exporter.
  const exporter = findProgram('node_exporter') ?? 'prometheus-node-exporter'
  const programs = [await startProgram(exporter, [`--web.listen-address=${exporterAddress}`], { logFile: join(workDir, 'node_exporter.log') })]
  return { workDir, configFile, listenAddress, programs }
}

function prometheusConfig(prometheus: string, exporter: string): string {
  return `global:
  scrape_interval: 1s
  scrape_timeout: 1s
  external_labels: {cluster: quickstart, replica: a}
scrape_configs:
  - job_name: prometheus
    static_configs: [{targets: ['${prometheus}']}]
  - job_name: node
    static_configs: [{targets: ['${exporter}']}]
`
}

/**
 * Starts a server on `dataDir` and waits until it answers. Blocks are cut every ten seconds rather than every two
 * hours, so that half a minute leaves what a day leaves elsewhere: several blocks and a head.
 */
export async function startPrometheusOn(stack: Stack, dataDir: string, signal: AbortSignal): Promise<PrometheusServer> {
  await mkdir(dataDir, { recursive: true })
  const server = await startPrometheus({
    dataDir,
    config: { file: stack.configFile },
    listen: stack.listenAddress,
    flags: ['--storage.tsdb.min-block-duration=10s', '--web.enable-admin-api'],
    logFile: join(stack.workDir, 'prometheus.log'),
    readyTimeoutMs,
    signal,
  })
  stack.programs.push(server)
  return server
}

export async function stopStack(stack: Stack): Promise<void> {
  await Promise.all(stack.programs.map((program) => program.kill()))
}
