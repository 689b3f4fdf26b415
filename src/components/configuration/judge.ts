import { runProgram } from '../../system/process.ts'
import { findProgram } from '../../system/programs.ts'
import type { Finding } from '../component.ts'
import type { RewrittenCopy } from './rewritten-copy.ts'

export interface Judgement {
  /** Of the finding. */
  name: string
  program: string
  args: readonly string[]
  copy: RewrittenCopy
  signal: AbortSignal
}

const checkTimeoutMs = 120_000
const shownLines = 8

/** What a program's own check says about a copy of the files. A program that is not here judges nothing. */
export async function judge({ name, program, args, copy, signal }: Judgement): Promise<Finding> {
  const known = program.slice(program.lastIndexOf('/') + 1)
  if (findProgram(program) === undefined) return { name, level: 'warn', detail: `not checked: ${program} is not installed here`, advice: `install ${known} where restores are made` }
  const { exitCode, stdout, stderr } = await runProgram(program, args, { timeoutMs: checkTimeoutMs, signal })
  if (exitCode === 0) return { name, level: 'ok', detail: `${known} accepts it` }
  // What is wrong stands in lines of their own; those that are right are not news.
  const lines = copy.inArchivePaths(`${stdout}\n${stderr}`).split('\n').map((line) => line.trim()).filter((line) => line !== '' && !/SUCCESS|^Checking\b/.test(line))
  const more = lines.length > shownLines ? `; and ${lines.length - shownLines} lines more` : ''
  return { name, level: 'fail', detail: `${known} refuses it: ${lines.slice(0, shownLines).join('; ')}${more}`, advice: 'correct it at its source, or take an older recovery point; --force installs it all the same' }
}
