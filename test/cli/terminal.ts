import { Writable } from 'node:stream'
import type { Opening, Surroundings } from '../../src/cli/context.ts'
import type { Operations } from '../../src/cli/operations.ts'
import { runCli } from '../../src/cli/run-cli.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { memoryFiles } from '../config/memory-files.ts'
import { archiveReport, backupReport, diffReport, doctorReport, expireReport, holdReport, initReport, listReport, reEncryptReport, restoreReport, shipReport, showReport, statusReport, verifyReport } from './reports.ts'

/** A stream that keeps what is written to it. */
export class Screen extends Writable {
  text = ''
  isTTY: boolean
  columns = 100

  constructor(isTTY: boolean) {
    super()
    this.isTTY = isTTY
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }

  // cli-progress draws with these.
  cursorTo(): boolean {
    return true
  }

  clearLine(): boolean {
    return true
  }
}

export interface Outcome {
  code: number
  stdout: string
  stderr: string
  /** What operations were called with, by verb. */
  calls: { verb: string; request: unknown }[]
  openings: Opening[]
}

export interface Scene {
  /** Called when operations are opened: to move the progress, say. */
  onOpen?: (opening: Opening) => void
  operations?: Partial<Operations>
  env?: Record<string, string>
  tty?: boolean
  yaml?: string
  signal?: AbortSignal
  now?: Date
}

const reports = { init: initReport, doctor: doctorReport, backup: backupReport, archive: archiveReport, ship: shipReport, status: statusReport, list: listReport, show: showReport, diff: diffReport, verify: verifyReport, restore: restoreReport, hold: holdReport, expire: expireReport, reEncrypt: reEncryptReport }

/** Runs the command line in this process, with operations that answer canned reports and keep what they were asked. */
export async function runInProcess(argv: readonly string[], scene: Scene = {}): Promise<Outcome> {
  const stdout = new Screen(scene.tty ?? false)
  const stderr = new Screen(scene.tty ?? false)
  const calls: Outcome['calls'] = []
  const openings: Opening[] = []
  const operations = {
    ...Object.fromEntries(
      Object.entries(reports).map(([verb, report]) => [
        verb,
        async (request: unknown) => {
          calls.push({ verb, request })
          return report
        },
      ]),
    ),
    async close() {
      calls.push({ verb: 'close', request: undefined })
    },
    ...scene.operations,
  } as Operations
  const surroundings: Surroundings = {
    env: scene.env ?? {},
    stdout,
    stderr,
    version: '1.2.3',
    signal: scene.signal ?? new AbortController().signal,
    now: () => scene.now ?? new Date('2026-11-21T12:00:00Z'),
    loadConfig: (file) =>
      loadConfig({ ...(file !== undefined && { file }), env: scene.env ?? {}, workingDir: '/srv', hostName: 'prom-a', files: memoryFiles(scene.yaml === undefined ? {} : { '/srv/prom-dr.yml': scene.yaml }) }),
    async openOperations(opening) {
      openings.push(opening)
      scene.onOpen?.(opening)
      return operations
    },
  }
  const code = await runCli(argv, surroundings)
  return { code, stdout: stdout.text, stderr: stderr.text, calls, openings }
}
