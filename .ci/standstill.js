// Workers of vitest that stand still. A test that takes too long fails by itself; a worker whose thread is stuck, or that waits for vitest
// itself, would hold a run up for ever.
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const reportMs = 5_000
const ticksPerSecond = 100

/** What a worker is started with, so that one that waits can be asked what for. One that is busy or stuck writes no report. */
export const workerFlags = ['--report-on-signal', '--report-signal=SIGUSR2', '--report-exclude-network', `--report-directory=${tmpdir()}`]

/** The processes below this one, with what they wait for. */
export function processesBelow(ancestor) {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).map(processOf).filter(Boolean)
  const below = new Set([ancestor])
  for (let before = 0; before !== below.size; ) {
    before = below.size
    for (const { pid, parent } of all) if (below.has(parent)) below.add(pid)
  }
  return all.filter(({ pid }) => pid !== ancestor && below.has(pid))
}

/** The workers of the vitest that runs in this process. */
export function workersOf(processes) {
  return processes.filter(({ parent, command }) => parent === process.pid && command.includes('/workers/forks.js'))
}

/** Since the Unix epoch; Infinity for a process that has ended. */
export function startedAtMs(pid) {
  const ticks = Number(fieldsOf(pid)[19] ?? 0)
  return ticks === 0 ? Number.POSITIVE_INFINITY : Date.now() - Number(read('/proc/uptime').split(' ')[0]) * 1000 + (ticks * 1000) / ticksPerSecond
}

/** Where a worker stands, in some lines. */
export async function standing({ pid }) {
  signal(pid, 'SIGUSR2')
  for (const until = Date.now() + reportMs; Date.now() < until; await sleep(200)) {
    const name = readdirSync(tmpdir()).find((file) => file.startsWith('report.') && file.split('.').includes(String(pid)))
    const report = name === undefined ? undefined : parsed(join(tmpdir(), name))
    if (report === undefined) continue
    rmSync(join(tmpdir(), name))
    return linesOf(report)
  }
  return [`it writes no report: its threads wait in ${threadsOf(pid).join(', ')}`]
}

/** It may end meanwhile. */
export function signal(pid, name) {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}

function linesOf({ javascriptStack = {}, libuv = [] }) {
  const handles = libuv.filter(({ is_active: active, type }) => active && type !== 'async').map(({ type, pid, firesInMsFromNow: ms }) => [type, pid, ms === undefined ? undefined : `in ${ms} ms`].filter(Boolean).join(' '))
  return [...(javascriptStack.stack ?? []), `handles: ${handles.join(', ')}`]
}

/** A report that is being written has no end yet. */
function parsed(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

function threadsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => `${fieldsOf(`${pid}/task/${thread}`)[0]} ${read(`/proc/${pid}/task/${thread}/wchan`)}`)
  } catch {
    return ['nothing, since it has ended']
  }
}

function processOf(pid) {
  const fields = fieldsOf(pid)
  if (fields.length === 0) return undefined
  return { pid, parent: Number(fields[1]), state: `${fields[0]} ${read(`/proc/${pid}/wchan`)}`, command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() }
}

/** Of proc(5)'s stat what follows the name, from the state on; none of a process that has ended. */
function fieldsOf(path) {
  const stat = read(`/proc/${path}/stat`)
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** Of a process that ends meanwhile there is nothing to read. */
function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
