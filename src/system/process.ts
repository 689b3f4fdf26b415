import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, createWriteStream, openSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { PromDrError } from '../errors.ts'
import { requireProgram } from './programs.ts'

export interface RunOptions {
  /** Then the program is killed, and nothing that it started is waited for. Default: none. */
  timeoutMs?: number
  /** Of stdout and stderr each. Default 16 MiB. */
  maxOutputBytes?: number
  cwd?: string
  /** Replaces the environment; default: this process's own. */
  env?: NodeJS.ProcessEnv
  /** Written to stdin, which is then closed. */
  input?: string | Uint8Array
  /** Read as stdin instead, at any size. */
  inputFile?: string
  /** Takes stdout, as a new file that only its owner may read; the result's `stdout` is empty then. */
  outputFile?: string
  signal?: AbortSignal
}

export interface ProgramResult {
  exitCode: number
  stdout: string
  stderr: string
}

const defaultOutputBytes = 16 * 1024 * 1024
const killAfterMs = 2_000

/**
 * Runs a program by its arguments, never through a shell, to its end, and to that of all that it started and gave its output to. Any exit
 * code is an answer.
 * @throws PROGRAM_MISSING
 * @throws PROGRAM_FAILED when it was ended by a signal, took longer than `timeoutMs` or printed more than `maxOutputBytes`
 * @throws INTERRUPTED the signal fired; the program has ended by then
 */
export async function runProgram(file: string, args: readonly string[], options: RunOptions = {}): Promise<ProgramResult> {
  const path = requireProgram(file, options.env)
  if (options.signal?.aborted) throw interrupted(file, options.signal)
  const child = spawnProgram(path, args, options)
  let failure: PromDrError | undefined
  let killTimer: NodeJS.Timeout | undefined
  const end = (reason: PromDrError) => {
    if (failure !== undefined) return
    failure = reason
    child.kill('SIGTERM')
    killTimer = setTimeout(() => {
      child.kill('SIGKILL')
      // What it started may live on, and hold its output open for as long.
      for (const output of [child.stdout, child.stderr]) output?.destroy()
    }, killAfterMs)
  }
  const { timeoutMs, maxOutputBytes = defaultOutputBytes, signal } = options
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => end(failed(file, hasEnded(child) ? `has ended, but something that it started still held its output after ${timeoutMs} ms` : `did not end within ${timeoutMs} ms`)), timeoutMs)
  const onAbort = () => end(interrupted(file, signal))
  signal?.addEventListener('abort', onAbort, { once: true })
  const tooMuch = () => end(failed(file, `printed more than ${maxOutputBytes} bytes`))
  const stderr = collect(child.stderr!, maxOutputBytes, tooMuch)
  const stdout = options.outputFile === undefined ? collect(child.stdout!, maxOutputBytes, tooMuch) : () => ''
  const written = options.outputFile === undefined ? undefined : writeInto(options.outputFile, child.stdout!, { limitBytes: maxOutputBytes, onTooMuch: tooMuch, onFailure: (error) => end(new PromDrError('FILE_SYSTEM', `cannot write what ${file} prints to ${options.outputFile}: ${error.message}`, { cause: error })) })
  // A program that does not read its input closes the pipe; its exit code tells what it thought of it.
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input)
  try {
    const exit = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
      child.once('error', (error) => reject(failed(file, error.message, error)))
      child.once('close', (code, by) => resolve({ code, signal: by }))
    })
    await written
    if (failure !== undefined) throw failure
    if (exit.code === null) throw failed(file, `was ended by ${exit.signal}`)
    return { exitCode: exit.code, stdout: stdout(), stderr: stderr() }
  } finally {
    clearTimeout(timer)
    clearTimeout(killTimer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function spawnProgram(path: string, args: readonly string[], options: RunOptions) {
  const stdin = options.inputFile === undefined ? undefined : openSync(options.inputFile, 'r')
  try {
    return spawn(path, args, {
      stdio: [stdin ?? 'pipe', 'pipe', 'pipe'],
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.env !== undefined && { env: options.env }),
    })
  } finally {
    if (stdin !== undefined) closeSync(stdin)
  }
}

interface FileOutput {
  limitBytes: number
  onTooMuch(): void
  onFailure(error: Error): void
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** Resolves when everything is in the file, or `onFailure` was told. */
async function writeInto(path: string, stream: NodeJS.ReadableStream, { limitBytes, onTooMuch, onFailure }: FileOutput): Promise<void> {
  let sizeBytes = 0
  stream.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.byteLength
    if (sizeBytes > limitBytes) onTooMuch()
  })
  try {
    await pipeline(stream, createWriteStream(path, { flags: 'wx', mode: 0o600 }))
  } catch (error) {
    onFailure(error as Error)
  }
}

function collect(stream: NodeJS.ReadableStream, limitBytes: number, onTooMuch: () => void): () => string {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  stream.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.byteLength
    if (sizeBytes > limitBytes) onTooMuch()
    else chunks.push(chunk)
  })
  return () => Buffer.concat(chunks).toString('utf8')
}

function failed(file: string, why: string, cause?: unknown): PromDrError {
  return new PromDrError('PROGRAM_FAILED', `${file} ${why}`, { cause })
}

function interrupted(file: string, signal: AbortSignal | undefined): PromDrError {
  return new PromDrError('INTERRUPTED', `interrupted while ${file} ran`, { cause: signal?.reason })
}
