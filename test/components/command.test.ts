import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type CommandSettings, createCommandComponent } from '../../src/components/command.ts'
import { collecting, restoring } from '../support/component-directories.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const node = process.execPath
const component = (settings: Partial<CommandSettings>) => createCommandComponent({ name: 'dump', backup: [node, '-e', 'process.stdout.write("kept")'], timeoutMs: 20_000, maxBytes: 10_000_000, ...settings })

describe('a pair of commands', () => {
  it('keeps what the first one prints and gives it to the second one', async () => {
    const directory = await temporaryDirectory()
    const out = `${directory}.restored`
    const pair = component({
      backup: [node, '-e', 'process.stdout.write(Buffer.alloc(3_000_000, "x"))'],
      restore: [node, '-e', 'require("fs").writeFileSync(process.argv[1], require("fs").readFileSync(0))', join(directory, 'restored')],
    })
    expect(await pair.collect(directory, collecting())).toEqual({ leftOut: [], warnings: [] })
    expect(await pair.check(directory, { signal: new AbortController().signal })).toEqual([{ name: 'output', level: 'ok', detail: '3000000 bytes' }])
    expect((await stat(join(directory, 'output'))).mode & 0o777).toBe(0o600)
    expect((await pair.restore(directory, restoring({ dryRun: true }))).actions[0]).toContain('would run')
    await expect(stat(join(directory, 'restored'))).rejects.toThrow('ENOENT')
    expect((await pair.restore(directory, restoring())).actions[0]).toMatch(/^ran /)
    expect((await readFile(join(directory, 'restored'))).equals(Buffer.alloc(3_000_000, 'x')), out).toBe(true)
  })

  it.each([
    ['ends with another exit code', { backup: [node, '-e', 'console.error("no such database"); process.exit(7)'] }, 'COMPONENT_FAILED', /ended with 7: no such database/],
    ['prints nothing', { backup: [node, '-e', ''] }, 'COMPONENT_FAILED', /printed nothing/],
    ['prints more than it may', { maxBytes: 3 }, 'PROGRAM_FAILED', /printed more than 3 bytes/],
    ['takes longer than it may', { backup: [node, '-e', 'setInterval(() => {}, 1000)'], timeoutMs: 300 }, 'PROGRAM_FAILED', /did not end within 300 ms/],
    ['is not there', { backup: ['/nowhere/dump'] }, 'PROGRAM_MISSING', /\/nowhere\/dump/],
  ])('fails when the command %s', async (_, settings, code, message) => {
    await expect(component(settings).collect(await temporaryDirectory(), collecting())).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  it('fails when the command that restores fails', async () => {
    const directory = await temporaryDirectory()
    await writeFile(join(directory, 'output'), 'x')
    await expect(component({ restore: [node, '-e', 'process.exit(3)'] }).restore(directory, restoring())).rejects.toMatchObject({ code: 'COMPONENT_FAILED' })
  })

  it('without a command that restores hands the file out', async () => {
    const directory = await temporaryDirectory()
    const { warnings } = await component({}).collect(directory, collecting())
    expect(warnings).toEqual([expect.stringContaining('no restore command')])
    await expect(component({}).restore(directory, restoring())).rejects.toMatchObject({ code: 'COMPONENT_REFUSED', hint: expect.stringContaining('--components-target') })
  })

  it('tells which program is missing', async () => {
    const findings = await component({ restore: ['no-such-program'] }).discover({ signal: new AbortController().signal })
    expect(findings.map(({ level }) => level)).toEqual(['ok', 'fail'])
  })
})
