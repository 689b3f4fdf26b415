import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { PromDrError } from '../errors.ts'
import { ifThere } from '../system/if-there.ts'
import { runProgram } from '../system/process.ts'
import { findProgram } from '../system/programs.ts'
import { restoredBy } from './answers.ts'
import type { Component, Finding } from './component.ts'

export interface CommandSettings {
  name: string
  /** Argv; writes what is to be kept to stdout. */
  backup: readonly string[]
  /** Argv; reads what was kept from stdin. Without it a restore only hands the file out. */
  restore?: readonly string[]
  timeoutMs: number
  /** Of what `backup` prints. */
  maxBytes: number
}

/** The file in the archive that holds what the command printed. */
export const outputName = 'output'

/** A pair of commands, such as `pg_dump` and `pg_restore`: argv, never a shell; the exit code is the verdict. */
export function createCommandComponent(settings: CommandSettings): Component {
  const { name, backup, restore, timeoutMs, maxBytes } = settings
  const run = async (argv: readonly string[], options: { inputFile?: string; outputFile?: string; signal: AbortSignal }) => {
    const [file = '', ...args] = argv
    const { exitCode, stderr } = await runProgram(file, args, { ...options, timeoutMs, maxOutputBytes: maxBytes })
    if (exitCode === 0) return
    const said = stderr.trim().split('\n').slice(-5).join('; ')
    throw new PromDrError('COMPONENT_FAILED', `${name}: ${file} ended with ${exitCode}${said === '' ? '' : `: ${said}`}`, { hint: 'run the command by hand to see what it says' })
  }
  return {
    name,
    kind: 'command',
    async discover() {
      const programs = [backup[0], restore?.[0]].filter((program) => program !== undefined)
      return programs.map((program): Finding => {
        if (findProgram(program) !== undefined) return { name: program, level: 'ok', detail: 'is installed' }
        return { name: program, level: 'fail', detail: 'is not an executable program here', advice: 'install it, or give its absolute path' }
      })
    },
    async collect(into, { signal }) {
      await run(backup, { outputFile: join(into, outputName), signal })
      // A dump that failed in silence is worse than none.
      const { size } = await lstat(join(into, outputName))
      if (size === 0) throw new PromDrError('COMPONENT_FAILED', `${name}: ${backup[0]} printed nothing`, { hint: 'it has to write what is to be kept to its standard output' })
      return { leftOut: [], warnings: restore === undefined ? [`${name} has no restore command: a restore hands the file out`] : [] }
    },
    async check(directory) {
      const sizeBytes = await sizeOf(join(directory, outputName))
      if (sizeBytes === undefined) return [{ name: 'output', level: 'fail', detail: `there is no file ${outputName} in the archive`, advice: 'it was not made by a command component' }]
      return [{ name: 'output', level: sizeBytes === 0 ? 'fail' : 'ok', detail: `${sizeBytes} bytes` }]
    },
    async restore(from, { dryRun, signal }) {
      const file = join(from, outputName)
      if ((await sizeOf(file)) === undefined) throw new PromDrError('DAMAGED', `${name}: there is no file ${outputName} in the archive`, { hint: 'it was not made by a command component; "prom-dr show ID --files" lists what is in it' })
      if (restore === undefined) throw new PromDrError('COMPONENT_REFUSED', `${name} has no restore command`, { hint: 'configure one, or take the file with --components-target' })
      if (!dryRun) await run(restore, { inputFile: file, signal })
      return restoredBy({ actions: [`${dryRun ? 'would run' : 'ran'} ${restore.join(' ')}`] })
    },
  }
}

/** Undefined for what is not a regular file. */
async function sizeOf(path: string): Promise<number | undefined> {
  const stats = await ifThere(lstat(path))
  return stats?.isFile() ? stats.size : undefined
}
