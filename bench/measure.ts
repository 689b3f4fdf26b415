import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'

/** What one run of a program cost. */
export interface Measured {
  wallMs: number
  /** High-water mark of resident memory of the program itself, children not counted. */
  peakRssBytes: number
  /** Of all its threads, in user and kernel mode; what other work on the machine disturbs least. */
  cpuMs: number
  stdout: string
}

export interface MeasureOptions {
  env?: Record<string, string>
  cwd?: string
  /** The time until the file system of this path has everything on disk counts too: not every program syncs by itself. */
  syncPath?: string
}

/** Runs a program to its end without a shell. @throws Error with what it said when it does not end with 0 */
export async function measure(argv: readonly string[], options: MeasureOptions = {}): Promise<Measured> {
  const started = performance.now()
  const child = spawn(argv[0]!, argv.slice(1), { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  let peakRssBytes = 0
  let cpuMs = 0
  const poll = setInterval(() => {
    peakRssBytes = Math.max(peakRssBytes, peakRssOf(child.pid))
    cpuMs = Math.max(cpuMs, cpuMsOf(child.pid))
  }, 20)
  const [exitCode] = await once(child, 'close').finally(() => clearInterval(poll))
  if (exitCode !== 0) throw new Error(`${argv.join(' ')} ended with ${exitCode}:\n${output.stderr.slice(-2000)}${output.stdout.slice(-500)}`)
  if (options.syncPath !== undefined) await run(['sync', '--file-system', options.syncPath])
  return { wallMs: performance.now() - started, peakRssBytes, cpuMs, stdout: output.stdout }
}

/** The same for steps that are not measured. */
export async function run(argv: readonly string[], options: MeasureOptions = {}): Promise<string> {
  const child = spawn(argv[0]!, argv.slice(1), { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [exitCode] = await once(child, 'close')
  if (exitCode !== 0) throw new Error(`${argv.join(' ')} ended with ${exitCode}: ${output.slice(-2000)}`)
  return stdout
}

/** Adds up steps that belong together: the times count all, the memory the largest. */
export function together(steps: readonly Measured[]): Measured {
  return {
    wallMs: steps.reduce((sum, step) => sum + step.wallMs, 0),
    peakRssBytes: Math.max(...steps.map((step) => step.peakRssBytes)),
    cpuMs: steps.reduce((sum, step) => sum + step.cpuMs, 0),
    stdout: steps.map((step) => step.stdout).join(''),
  }
}

/** Everyone starts with cold files. Only root can see to that; the answer says whether it was done. */
export async function dropCaches(): Promise<boolean> {
  await run(['sync'])
  try {
    await writeFile('/proc/sys/vm/drop_caches', '3')
    return true
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** VmHWM never falls, so that the last look before the end is the answer. */
function peakRssOf(pid: number | undefined): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(processFile(pid, 'status'))?.[1]
  return Number(kibibytes ?? 0) * 1024
}

/** utime and stime, in hundredths of a second; the name in parentheses before them may hold spaces. */
function cpuMsOf(pid: number | undefined): number {
  const fields = processFile(pid, 'stat').replace(/^.*\) /s, '').split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10
}

/** '' when the process is gone. */
function processFile(pid: number | undefined, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}
