import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PromDrError, hasCode } from '../errors.ts'
import type { Programs } from './programs.ts'

/** The throwaway stack: a Prometheus that scrapes itself and a node_exporter every second. */
export interface Stack {
  workDir: string
  configFile: string
  /** The same for every server of the stack, so that the restored one answers where the lost one did. */
  url: string
  listenAddress: string
}

const readyTimeoutMs = 30_000

/** Writes the configuration and starts the node_exporter. */
export async function createStack(programs: Programs, workDir: string): Promise<Stack> {
  const [prometheusPort, exporterPort] = await freePorts()
  const listenAddress = `127.0.0.1:${prometheusPort}`
  const exporterAddress = `127.0.0.1:${exporterPort}`
  const configFile = join(workDir, 'prometheus.yml')
  await writeFile(configFile, prometheusConfig(listenAddress, exporterAddress))
  await startExporter(programs, exporterAddress, join(workDir, 'node_exporter.log'))
  return { workDir, configFile, url: `http://${listenAddress}`, listenAddress }
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

/** Debian calls the program prometheus-node-exporter, upstream node_exporter. */
async function startExporter(programs: Programs, address: string, logFile: string): Promise<void> {
  const flags = [`--web.listen-address=${address}`]
  try {
    await programs.start(['prometheus-node-exporter', ...flags], logFile)
  } catch (error) {
    if (!hasCode(error, 'PROGRAM_MISSING')) throw error
    await programs.start(['node_exporter', ...flags], logFile)
  }
}

/**
 * Starts a server on `dataDir` and waits until it answers. Blocks are cut every ten seconds rather than every two
 * hours, so that half a minute leaves what a day leaves elsewhere: several blocks and a head.
 */
export async function startPrometheusOn(stack: Stack, options: { programs: Programs; dataDir: string; signal: AbortSignal }): Promise<ChildProcess> {
  const { programs, dataDir, signal } = options
  await mkdir(dataDir, { recursive: true })
  const logFile = join(stack.workDir, 'prometheus.log')
  const server = await programs.start(
    [
      'prometheus',
      `--config.file=${stack.configFile}`,
      `--storage.tsdb.path=${dataDir}`,
      '--storage.tsdb.min-block-duration=10s',
      `--web.listen-address=${stack.listenAddress}`,
      '--web.enable-admin-api',
    ],
    logFile,
  )
  const deadline = performance.now() + readyTimeoutMs
  while (!(await isReady(stack.url, signal))) {
    if (server.exitCode !== null || server.signalCode !== null || performance.now() > deadline) {
      throw new PromDrError('PROGRAM_FAILED', `prometheus did not become ready on ${stack.url}`, { hint: `its log is ${logFile} (use --keep DIR to have it stay)` })
    }
    await delay(20, undefined, { signal })
  }
  return server
}

async function isReady(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(`${url}/-/ready`, { signal })
    await response.arrayBuffer()
    return response.ok
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof TypeError) return false
    throw error
  }
}

/** Both are held until both are known, so that they differ. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    }),
  )
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  return [ports[0]!, ports[1]!]
}
