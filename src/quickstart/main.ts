import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pc from 'picocolors'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import { createNarrator } from './narrator.ts'
import { type QuickstartOptions, parseOptions, usage } from './options.ts'
import { renderOutcome } from './outcome-report.ts'
import { runScenario } from './scenario.ts'

const signalExitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** Runs the quickstart and gives its exit code. Whatever happens, no process and no temporary directory stays. */
export async function runQuickstart(args: readonly string[]): Promise<number> {
  const interruption = new AbortController()
  let exitCode = 0
  for (const [name, code] of Object.entries(signalExitCodes)) {
    process.on(name, () => {
      exitCode = code
      interruption.abort(new PromDrError('INTERRUPTED', `stopped by ${name}`))
    })
  }
  try {
    const options = parseOptions(args)
    if (options.help) process.stdout.write(usage)
    else await play(options, interruption.signal)
  } catch (error) {
    const reason = interruption.signal.aborted ? interruption.signal.reason : error
    if (!(reason instanceof PromDrError)) throw reason
    process.stderr.write(`\n${pc.red('quickstart:')} ${messageOf(reason)}\n`)
    if (reason.hint !== undefined) process.stderr.write(`  ${reason.hint}\n`)
    exitCode ||= hasCode(reason, 'USAGE') ? 2 : 1
  }
  return exitCode
}

async function play(options: QuickstartOptions, signal: AbortSignal): Promise<void> {
  const colors = pc.createColors(process.stdout.isTTY && pc.isColorSupported)
  const write = (text: string) => void process.stdout.write(text)
  const workDir = await openWorkDir(options.keepDir)
  try {
    const outcome = await runScenario({
      narrator: createNarrator({ write, colors, isTerminal: process.stdout.isTTY }),
      launcher: fileURLToPath(new URL('../../bin/prom-dr.js', import.meta.url)),
      workDir,
      signal,
    })
    write(renderOutcome(outcome, { keptDir: options.keepDir }, colors))
  } finally {
    if (options.keepDir === undefined) await rm(workDir, { recursive: true, force: true })
  }
}

async function openWorkDir(keepDir: string | undefined): Promise<string> {
  if (keepDir === undefined) return mkdtemp(join(tmpdir(), 'prom-dr-'))
  await mkdir(keepDir, { recursive: true })
  if ((await readdir(keepDir)).length > 0) throw new PromDrError('USAGE', `${keepDir} is not empty`, { hint: 'give a new or empty directory to --keep' })
  return keepDir
}
