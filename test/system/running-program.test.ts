import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { freePort } from '../../src/system/ports.ts'
import { findProgram } from '../../src/system/programs.ts'
import { startProgram } from '../../src/system/running-program.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { waitFor } from '../support/wait-for.ts'

const node = process.execPath

describe('a running program', () => {
  it('logs to its file, and ends with SIGTERM', async () => {
    const { program } = await start('console.log("one"); console.error("two"); process.on("SIGTERM", () => process.exit(7)); setInterval(() => {}, 1000)', 'two')
    expect(program.isRunning).toBe(true)
    expect(program.logTail(1)).toBe('two')
    expect(await program.stop()).toEqual({ exitCode: 7, signal: null })
    expect(program.isRunning).toBe(false)
    expect(await program.kill()).toEqual({ exitCode: 7, signal: null })
  })

  it('is killed when it ignores SIGTERM', async () => {
    const { program } = await start('process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("up")', 'up')
    expect(await program.stop(50)).toEqual({ exitCode: null, signal: 'SIGKILL' })
  })

  it('is killed with its children', async () => {
    const { program, logFile } = await start('const c = require("child_process").spawn("sleep", ["600"]); console.log("child", c.pid); setInterval(() => {}, 1000)', 'child')
    const child = Number((await readFile(logFile, 'utf8')).split(' ')[1])
    await program.kill()
    await waitFor(() => !isAlive(child), { what: 'the end of the child' })
  })

  it.skipIf(findProgram('setpriv') === undefined)('does not outlive us, even when we are ended by SIGKILL', async () => {
    const directory = await temporaryDirectory()
    const module = fileURLToPath(new URL('../../src/system/running-program.ts', import.meta.url))
    const script = `import { startProgram } from ${JSON.stringify(module)}
      const program = await startProgram('sleep', ['600'], { logFile: ${JSON.stringify(join(directory, 'log'))} })
      console.log(program.pid)
      setInterval(() => {}, 1000)`
    const parent = spawn(node, ['--import', 'tsx', '--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    atEndOfFile(async () => void parent.kill('SIGKILL'))
    const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (text: Buffer) => resolve(Number(text.toString()))))
    // What is killed before setpriv has asked the kernel for it leaves the program behind.
    await waitFor(async () => !(await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes('setpriv'), { what: 'the program itself' })
    expect(isAlive(pid)).toBe(true)
    parent.kill('SIGKILL')
    await waitFor(() => !isAlive(pid), { what: 'the end of the program' })
  })

  it('is refused when there is no such program', async () => {
    await expect(startProgram('/nowhere/prometheus', [], { logFile: '/dev/null' })).rejects.toMatchObject({ code: 'PROGRAM_MISSING' })
  })
})

it('finds a free port of the loopback address', async () => {
  const ports = await Promise.all([freePort(), freePort()])
  for (const port of ports) expect(port).toBeGreaterThan(1023)
})

async function start(script: string, untilLogged: string) {
  const logFile = join(await temporaryDirectory(), 'log')
  const program = await startProgram(node, ['-e', script], { logFile })
  atEndOfFile(async () => void (await program.kill()))
  await waitFor(() => readFileSync(logFile, 'utf8').includes(untilLogged), { what: 'the program to start' })
  return { program, logFile }
}

/** A zombie has ended, though nobody has asked for its exit code yet. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
