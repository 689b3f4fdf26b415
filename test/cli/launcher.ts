import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

export const launcher = fileURLToPath(new URL('../../bin/prom-dr.js', import.meta.url))
export const distDir = fileURLToPath(new URL('../../dist/', import.meta.url))

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Running {
  pid: number
  kill(signal: NodeJS.Signals): void
  ended: Promise<Ended>
}

/** The environment of a shell without settings of prom-dr and without wishes about colours. */
export function plainEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const left = Object.entries(process.env).filter(([name]) => !name.startsWith('PROM_DR_') && !['NO_COLOR', 'FORCE_COLOR', 'CI', 'COLORTERM'].includes(name))
  return { ...Object.fromEntries(left), TERM: 'xterm-256color', ...extra }
}

/** Starts a program that is killed with its children when the test is over. */
export function start(argv: readonly string[], options: { cwd: string; env?: Record<string, string> }): Running {
  if (!existsSync(`${distDir}main.js`)) throw new Error('dist/ is missing: npm run build')
  const [program = '', ...args] = argv
  const child = spawn(program, args, { cwd: options.cwd, env: plainEnvironment(options.env), stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const pid = child.pid ?? 0
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-pid, 'SIGKILL')
    await ended
  })
  return { pid, kill: (signal) => void process.kill(pid, signal), ended }
}

export function promDr(args: readonly string[], options: { cwd: string; env?: Record<string, string> }): Promise<Ended> {
  return start([process.execPath, launcher, ...args], options).ended
}
