import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PromDrError } from '../errors.ts'
import { freePort } from '../system/ports.ts'
import { findProgram } from '../system/programs.ts'
import { type RunningProgram, startProgram } from '../system/running-program.ts'

/** The throwaway stack: a Prometheus that scrapes itself and a node_exporter every second. */
export interface Stack {
  workDir: string
  configFile: string
  /** The same for every server of the stack, so that the restored one answers where the lost one did. */
  url: string
  listenAddress: string
  /** What was started for it, to be killed when it has served. */
  programs: RunningProgram[]
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
  return { workDir, configFile, url: `http://${listenAddress}`, listenAddress, programs }
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
export async function startPrometheusOn(stack: Stack, dataDir: string, signal: AbortSignal): Promise<RunningProgram> {
  await mkdir(dataDir, { recursive: true })
  const logFile = join(stack.workDir, 'prometheus.log')
  const server = await startProgram(
    'prometheus',
    [
      `--config.file=${stack.configFile}`,
      `--storage.tsdb.path=${dataDir}`,
      '--storage.tsdb.min-block-duration=10s',
      `--web.listen-address=${stack.listenAddress}`,
      '--web.enable-admin-api',
    ],
    { logFile },
  )
  stack.programs.push(server)
  const deadline = performance.now() + readyTimeoutMs
  while (!(await isReady(stack.url, signal))) {
    if (!server.isRunning || performance.now() > deadline) {
      throw new PromDrError('PROGRAM_FAILED', `prometheus did not become ready on ${stack.url}`, { hint: `its log ends with:\n${server.logTail(5)}` })
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

export async function stopStack(stack: Stack): Promise<void> {
  await Promise.all(stack.programs.map((program) => program.kill()))
}
