import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface BenchPrometheus {
  url: string
  dataDir: string
  /** The sum of a metric of the server itself over its labels; 0 when it is not there. */
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

/**
 * A Prometheus that scrapes nothing, takes remote writes and keeps history for ever, with default block sizes.
 * @param workDir where its configuration and its log go; @param dataDir its TSDB
 */
export async function startBenchPrometheus(workDir: string, dataDir: string): Promise<BenchPrometheus> {
  await mkdir(dataDir, { recursive: true })
  const configFile = join(workDir, 'prometheus.yml')
  await writeFile(configFile, 'global:\n  external_labels: {cluster: bench, replica: a}\n')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const log = createWriteStream(join(workDir, 'prometheus.log'), { flags: 'a' })
  await once(log, 'open')
  const child = spawn(
    'prometheus',
    [`--config.file=${configFile}`, `--storage.tsdb.path=${dataDir}`, '--storage.tsdb.retention.time=100y', `--web.listen-address=127.0.0.1:${port}`, '--web.enable-admin-api', '--web.enable-remote-write-receiver', '--log.level=warn'],
    { stdio: ['ignore', log, log] },
  )
  const killOnExit = () => child.kill('SIGKILL')
  process.once('exit', killOnExit)
  await waitUntilReady(url, child, join(workDir, 'prometheus.log'))
  return {
    url,
    dataDir,
    metric: async (name) => metricOf(await (await fetch(`${url}/metrics`)).text(), name),
    stop: async () => {
      process.removeListener('exit', killOnExit)
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

async function waitUntilReady(url: string, child: ChildProcess, logFile: string): Promise<void> {
  const deadline = Date.now() + 300_000
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`prometheus ended before it was ready: see ${logFile}`)
    const ready = await fetch(`${url}/-/ready`).then(
      (response) => response.ok,
      () => false,
    )
    if (ready) return
    await delay(100)
  }
  child.kill('SIGKILL')
  throw new Error(`prometheus was not ready after 300 s: see ${logFile}`)
}

function metricOf(text: string, name: string): number {
  const values = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
  return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('the system gave no port')
  return address.port
}
