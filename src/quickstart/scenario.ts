import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatTime } from '../domain/moment.ts'
import { PromDrError } from '../errors.ts'
import type { BackupReport } from '../operations/backup/backup-report.ts'
import type { RestoreReport } from '../operations/restore/restore-report.ts'
import { type CliRunner, runCli } from './cli-command.ts'
import type { Narrator } from './narrator.ts'
import { type ComparedAnswer, askQuestions, compareAnswers, newestSampleMs } from './questions.ts'
import { type Stack, createStack, startPrometheusOn, stopStack } from './stack.ts'

export interface Outcome {
  backup: BackupReport
  restore: RestoreReport
  disasterAtMs: number
  /** From the end of the backup to the disaster. */
  afterBackupMs: number
  /** The newest sample of before the disaster, as the server that came back tells it. */
  newestRestoredMs: number
  /** From the decision to restore to the first correct answer of the server that came back. */
  rtoMs: number
  /** Adds up to `rtoMs`. */
  phases: { name: string; durationMs: number }[]
  answers: ComparedAnswer[]
}

export interface ScenarioOptions {
  narrator: Narrator
  launcher: string
  workDir: string
  signal: AbortSignal
}

const collectMs = 25_000
/** What happens after a backup is what a disaster takes: without this the loss would look smaller than it is in life. */
const unprotectedMs = 5_000

/** Starts, collects, backs up, destroys, restores and asks. No process stays, whatever happens. */
export async function runScenario(options: ScenarioOptions): Promise<Outcome> {
  options.narrator.step('Start a Prometheus that scrapes itself and a node_exporter every second')
  const stack = await createStack(options.workDir)
  try {
    return await playOn(stack, options)
  } finally {
    await stopStack(stack)
  }
}

async function playOn(stack: Stack, { narrator, launcher, workDir, signal }: ScenarioOptions): Promise<Outcome> {
  const lostDir = join(workDir, 'prometheus')
  const server = await startPrometheusOn(stack, lostDir, signal)
  narrator.detail(`${server.url}, data in ${lostDir}`)
  await narrator.wait(`collecting for ${collectMs / 1000} s`, collectMs, signal)

  narrator.step('Back it up into a local repository')
  const cli: CliRunner = { launcher, configFile: await writeConfig(workDir, server.url, lostDir), show: narrator.command, signal }
  const askedAtMs = Date.now() - 2_000
  const before = await askQuestions(server.api, askedAtMs, signal)
  const backup = await runCli<BackupReport>(cli, ['backup'])
  const backedUpMs = Date.now()
  narrator.backedUp(backup)
  await narrator.wait(`${unprotectedMs / 1000} more seconds, which no backup has`, unprotectedMs, signal)

  narrator.step('Disaster: SIGKILL, and the data directory is deleted')
  const disasterAtMs = Date.now()
  await server.kill()
  await rm(lostDir, { recursive: true })
  narrator.detail(`${formatTime(disasterAtMs)}  ${lostDir} is gone`)

  narrator.step('Restore the latest moment into a new directory, checked on a throwaway server')
  const restoredDir = join(workDir, 'restored')
  const decidedMs = performance.now()
  const restore = await runCli<RestoreReport>(cli, ['restore', '--at', 'latest', '--target', restoredDir, '--start', '--disaster-at', formatTime(disasterAtMs)])
  const restoredMs = performance.now()
  narrator.restored(restore)

  narrator.step('Start a server on it and ask what was asked before')
  const successor = await startPrometheusOn(stack, restoredDir, signal)
  const readyMs = performance.now()
  const answers = compareAnswers(before, await askQuestions(successor.api, askedAtMs, signal))
  const answeredMs = performance.now()
  narrator.answered(answers)
  if (answers.some((answer) => answer.before !== answer.after)) {
    throw new PromDrError('ANSWERS_DIFFER', 'the restored server does not answer as the lost one did', { hint: 'run it again with --keep DIR and report it' })
  }
  return {
    backup,
    restore,
    disasterAtMs,
    afterBackupMs: disasterAtMs - backedUpMs,
    newestRestoredMs: await newestSampleMs(successor.api, disasterAtMs, signal),
    rtoMs: answeredMs - decidedMs,
    phases: [...commandPhases(restore, restoredMs - decidedMs), { name: 'server: start', durationMs: readyMs - restoredMs }, { name: 'server: all answers right', durationMs: answeredMs - readyMs }],
    answers,
  }
}

/** The stages that the command measured, and what remains of its time. */
function commandPhases(restore: RestoreReport, totalMs: number): Outcome['phases'] {
  const stagesMs = restore.stages.reduce((sum, stage) => sum + stage.durationMs, 0)
  const named = restore.stages.map((stage) => ({ name: `restore: ${stage.name}`, durationMs: stage.durationMs }))
  return [...named, { name: 'restore: load and end the command', durationMs: Math.max(0, totalMs - stagesMs) }]
}

async function writeConfig(workDir: string, url: string, dataDir: string): Promise<string> {
  const configFile = join(workDir, 'prom-dr.yml')
  const repository = join(workDir, 'repository')
  await mkdir(repository, { recursive: true })
  await writeFile(configFile, `instance: quickstart\nprometheus:\n  url: ${url}\n  dataDir: ${dataDir}\nrepositories:\n  - name: local\n    url: file://${repository}\n`)
  return configFile
}
