import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PromDrError } from '../errors.ts'
import { runProgram } from '../system/process.ts'
import { findProgram } from '../system/programs.ts'
import type { Component, Finding } from './component.ts'
import { createFilesComponent } from './files.ts'
import type { PathPattern } from './path-patterns.ts'
import { withRelocatedCopy } from './relocated-copy.ts'

export interface ProgramConfigurationSettings {
  /** Default: where Debian has it. */
  configFile?: string
  /** What belongs to it; default: the directory of the configuration file. */
  paths?: readonly PathPattern[]
  /** Argv of what makes the running program take the files over, such as `systemctl reload haproxy`. */
  reload?: readonly string[]
  now: () => Date
}

interface Program {
  configFile: string
  /** Argv of its own check, for a file. */
  check(file: string): string[]
  /** Changes to the copy that is checked, so that the check touches nothing else. */
  prepare?(file: string): Promise<void>
}

const programs = {
  haproxy: { configFile: '/etc/haproxy/haproxy.cfg', check: (file) => ['-c', '-f', file] },
  nginx: {
    configFile: '/etc/nginx/nginx.conf',
    check: (file) => ['-t', '-q', '-e', 'stderr', '-c', file],
    // Its check creates the file of the process id.
    prepare: async (file) => writeFile(file, (await readFile(file, 'utf8')).replace(/^(\s*pid\s+)[^;]+;/m, `$1${join(dirname(file), 'checked.pid')};`)),
  },
  keepalived: { configFile: '/etc/keepalived/keepalived.conf', check: (file) => ['--config-test', '--use-file', file] },
} satisfies Record<string, Program>

export type ProgramName = keyof typeof programs

const checkTimeoutMs = 60_000

/** The configuration of a program that can judge it: HAProxy, nginx, keepalived. */
export function createProgramConfiguration(program: ProgramName, settings: ProgramConfigurationSettings): Component {
  const known: Program = programs[program]
  const configFile = settings.configFile ?? known.configFile
  const { reload, now } = settings
  return createFilesComponent({
    name: program, kind: program, paths: settings.paths ?? [dirname(configFile)], now,
    check: (directory, { signal }) => checkWith(program, directory, { configFile, signal }),
    ...(reload !== undefined && { reload: ({ signal }) => reloaded(reload, signal) }),
  })
}

async function checkWith(program: ProgramName, directory: string, { configFile, signal }: { configFile: string; signal: AbortSignal }): Promise<Finding[]> {
  const known: Program = programs[program]
  if (findProgram(program) === undefined) return [{ name: `${program} configuration`, level: 'warn', detail: `not checked: ${program} is not installed here` }]
  return withRelocatedCopy(directory, async (copy): Promise<Finding[]> => {
    const file = join(copy, configFile)
    await known.prepare?.(file)
    const result = await runProgram(program, known.check(file), { timeoutMs: checkTimeoutMs, signal })
    const said = `${result.stdout}\n${result.stderr}`.replaceAll(copy, '').trim()
    if (result.exitCode === 0) return [{ name: `${program} configuration`, level: 'ok', detail: `${program} accepts ${configFile}` }]
    return [{ name: `${program} configuration`, level: 'fail', detail: `${program} refuses ${configFile}: ${said.split('\n').slice(0, 6).join('; ')}`, advice: 'mend the file, or restore with --force' }]
  })
}

async function reloaded(argv: readonly string[], signal: AbortSignal): Promise<{ actions: string[]; warnings: string[] }> {
  const [file = '', ...args] = argv
  const { exitCode, stderr } = await runProgram(file, args, { timeoutMs: checkTimeoutMs, signal })
  if (exitCode === 0) return { actions: [`ran ${argv.join(' ')}`], warnings: [] }
  throw new PromDrError('PROGRAM_FAILED', `${argv.join(' ')} ended with ${exitCode}: ${stderr.trim().slice(0, 500)}`, { hint: 'see the program\'s log, and reload it by hand' })
}
