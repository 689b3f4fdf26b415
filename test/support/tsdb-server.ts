import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { freePort } from '../../src/system/ports.ts'
import { startProgram } from '../../src/system/running-program.ts'

export interface TsdbServer {
  url: string
  /** An instant query's values by series, at a time in ms. */
  query(promql: string, atMs: number): Promise<{ metric: Record<string, string>; value: string }[]>
  /** POST to the admin API: `tsdb/snapshot`; answers its `data`. */
  admin(path: string): Promise<unknown>
  stop(): Promise<void>
}

/**
 * Starts a real Prometheus with the admin API on a data directory, and waits until it is ready. It scrapes itself every
 * 200 ms when `scrape` is set, and nothing otherwise. Killed when the test is over. For tests of data directories only.
 */
export async function startTsdbServer(dataDir: string, options: { scratch: string; scrape?: boolean }): Promise<TsdbServer> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const config = join(options.scratch, `prometheus-${port}.yml`)
  const job = { job_name: 'self', scrape_interval: '200ms', static_configs: [{ targets: [`127.0.0.1:${port}`] }] }
  await writeFile(config, JSON.stringify({ scrape_configs: options.scrape === true ? [job] : [] }))
  const args = [`--config.file=${config}`, `--storage.tsdb.path=${dataDir}`, '--storage.tsdb.retention.time=100y', `--web.listen-address=127.0.0.1:${port}`, '--web.enable-admin-api']
  const program = await startProgram('prometheus', args, { logFile: join(options.scratch, `prometheus-${port}.log`) })
  onTestFinished(async () => void (await program.kill()))
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, init)
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: HTTP ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text).data
  }
  await waitFor(async () => {
    if (!program.isRunning) throw new Error(`prometheus ended: ${program.logTail()}`)
    const response = await fetch(`${url}/-/ready`).catch(() => undefined)
    return response?.ok === true
  })
  return {
    url,
    query: async (promql, atMs) => {
      const data = await ask(`/api/v1/query?${new URLSearchParams({ query: promql, time: String(atMs / 1000) })}`)
      return data.result.map((series: { metric: Record<string, string>; value: [number, string] }) => ({ metric: series.metric, value: series.value[1] }))
    },
    admin: (path) => ask(`/api/v1/admin/${path}`, { method: 'POST' }),
    stop: async () => void (await program.stop()),
  }
}

/** Asks again every 50 ms until the condition holds. */
export async function waitFor(condition: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`still not so after ${timeoutMs} ms`)
    await pause(50)
  }
}
