import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runProgram } from '../../src/system/process.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { rejectionOf } from '../support/operations.ts'
import { waitFor } from '../support/wait-for.ts'

const node = process.execPath

describe('running a program', () => {
  it('gives its exit code and what it printed, whatever the code is', async () => {
    const result = await runProgram(node, ['-e', 'console.log("out"); console.error("err"); process.exitCode = 3'])
    expect(result).toEqual({ exitCode: 3, stdout: 'out\n', stderr: 'err\n' })
  })

  it('passes arguments as they are, never through a shell', async () => {
    const hostile = '; echo $(id) `id` > /dev/null "quoted" *'
    const { stdout } = await runProgram(node, ['-e', 'process.stdout.write(process.argv[1])', hostile])
    expect(stdout).toBe(hostile)
  })

  it('gives it input, a directory and an environment', async () => {
    const script = 'process.stdin.on("data", (d) => process.stdout.write(`${d} ${process.cwd()} ${process.env.COLOUR}`))'
    const { stdout } = await runProgram(node, ['-e', script], { input: 'hello', cwd: '/', env: { COLOUR: 'red' } })
    expect(stdout).toBe('hello / red')
  })

  it('survives a program that does not read its input', async () => {
    const { exitCode } = await runProgram('/bin/true', [], { input: Buffer.alloc(4 * 1024 * 1024) })
    expect(exitCode).toBe(0)
  })

  it('names the Debian package of a program that is not installed', async () => {
    await expect(runProgram('/nowhere/rsync', [])).rejects.toMatchObject({ code: 'PROGRAM_MISSING', hint: 'install it: apt-get install rsync' })
    await expect(runProgram('no-such-program', [])).rejects.toMatchObject({ code: 'PROGRAM_MISSING', message: 'the program no-such-program is not installed' })
  })

  it('ends one that takes too long, one that prints too much, and one that ignores SIGTERM', async () => {
    await expect(runProgram('sleep', ['60'], { timeoutMs: 50 })).rejects.toMatchObject({ code: 'PROGRAM_FAILED', message: 'sleep did not end within 50 ms' })
    await expect(runProgram('yes', [], { maxOutputBytes: 1000 })).rejects.toMatchObject({ code: 'PROGRAM_FAILED', message: 'yes printed more than 1000 bytes' })
    const stubborn = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("x".repeat(2000))'
    await expect(runProgram(node, ['-e', stubborn], { maxOutputBytes: 1000 })).rejects.toMatchObject({ code: 'PROGRAM_FAILED' })
  })

  it.each([
    ['waits for', 'wait', 'sh did not end within 4000 ms', false],
    ['leaves behind', 'exit 0', 'sh has ended, but something that it started still held its output after 4000 ms', true],
  ])('has no more time for what a program starts and %s', async (_what, script, message, intoFile) => {
    const { starting, isThere } = await lasting()
    const outputFile = join(await temporaryDirectory('output'), 'output')
    const error = await rejectionOf(runProgram('sh', ['-c', `${starting}; ${script}`], { timeoutMs: 4000, ...(intoFile && { outputFile }) }))
    expect(error).toMatchObject({ code: 'PROGRAM_FAILED', message })
    expect(await isThere()).toBe(true)
  })

  it('does not wait for what a program started when the signal fires', async () => {
    const { starting, isThere } = await lasting()
    const abort = new AbortController()
    const run = rejectionOf(runProgram('sh', ['-c', `${starting}; wait`], { signal: abort.signal }))
    await waitFor(isThere)
    abort.abort()
    expect(await run).toMatchObject({ code: 'INTERRUPTED' })
    expect(await isThere()).toBe(true)
  })

  it('says that a signal ended it', async () => {
    await expect(runProgram(node, ['-e', 'process.kill(process.pid, "SIGKILL")'])).rejects.toMatchObject({ code: 'PROGRAM_FAILED', message: expect.stringContaining('SIGKILL') })
  })

  it('ends it when the signal fires, and does not start it when it has fired', async () => {
    const abort = new AbortController()
    const run = runProgram('sleep', ['60'], { signal: abort.signal })
    abort.abort()
    await expect(run).rejects.toMatchObject({ code: 'INTERRUPTED' })
    await expect(runProgram('/bin/true', [], { signal: abort.signal })).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })
})

/** For a shell: starts something that outlives it and holds its output. */
async function lasting() {
  const pidFile = join(await temporaryDirectory('lasting'), 'pid')
  const pidOf = async () => Number(await readFile(pidFile, 'utf8').catch(() => ''))
  atEndOfFile(async () => {
    const pid = await pidOf()
    if (pid > 0) process.kill(pid, 'SIGKILL')
  })
  return { starting: `sleep 600 & echo $! >${pidFile}`, isThere: async () => (await pidOf()) > 0 && process.kill(await pidOf(), 0) }
}
