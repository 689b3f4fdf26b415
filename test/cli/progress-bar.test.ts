import { describe, expect, test } from 'vitest'
import { createProgressBar, progressLine } from '../../src/cli/progress-bar.ts'
import { PromDrError } from '../../src/errors.ts'
import type { Opening } from '../../src/cli/context.ts'
import { Screen, runInProcess } from './terminal.ts'

const mebibyte = 2 ** 20

describe('a progress line', () => {
  test.each([
    [{ phase: 'blocks', bytes: 42 * mebibyte, totalBytes: 100 * mebibyte, elapsedMs: 2000 }, 'blocks      ████████░░░░░░░░░░░░   42%  42 MiB of 100 MiB  21 MiB/s  3.0 s left'],
    [{ phase: 'blocks', bytes: 0, totalBytes: 100 * mebibyte, elapsedMs: 0 }, 'blocks      ░░░░░░░░░░░░░░░░░░░░    0%  0 B of 100 MiB'],
    [{ phase: 'verify', bytes: 100 * mebibyte, totalBytes: 100 * mebibyte, elapsedMs: 4000 }, 'verify      ████████████████████  100%  100 MiB of 100 MiB  25 MiB/s'],
    [{ phase: 'read', bytes: 3 * mebibyte, totalBytes: undefined, elapsedMs: 1000 }, 'read        3.0 MiB  3.0 MiB/s'],
    [{ phase: 'snapshot', bytes: 0, totalBytes: undefined, elapsedMs: 1000 }, 'snapshot  '],
  ])('%j', (state, line) => {
    expect(progressLine(state)).toBe(line)
  })

  test('stays in bounds when more or fewer bytes come than were announced', () => {
    expect(progressLine({ phase: 'x', bytes: 300, totalBytes: 100, elapsedMs: 0 })).toContain('100%')
    expect(progressLine({ phase: 'x', bytes: -5, totalBytes: 100, elapsedMs: 0 })).toContain('  0%')
  })
})

describe('progress bars', () => {
  test('are drawn on a terminal and give it back when they are done', () => {
    const screen = new Screen(true)
    const bar = createProgressBar({ stream: screen, enabled: true })
    bar.start('blocks', 1000)
    bar.advance(500)
    bar.start('manifest')
    bar.finish()
    bar.advance(1)
    expect(screen.text).toContain('blocks')
    expect(screen.text.lastIndexOf('\u001b[?25h')).toBeGreaterThan(screen.text.lastIndexOf('\u001b[?25l'))
  })

  const move = ({ progress }: Opening) => {
    progress.start('blocks', 10)
    progress.advance(5)
  }

  test('show on the stderr of a terminal, and are gone before the answer', async () => {
    const { stdout, stderr } = await runInProcess(['list'], { tty: true, onOpen: move })
    expect(stderr).toContain('5 B of 10 B')
    expect(stderr).toMatch(/\u001b\[\?25h/)
    expect(stdout).not.toContain('blocks ')
  })

  test('give the terminal back after a failure too', async () => {
    const { stderr } = await runInProcess(['list'], { tty: true, onOpen: move, operations: { list: () => Promise.reject(new PromDrError('DAMAGED', 'broken')) } })
    expect(stderr.lastIndexOf('error:')).toBeGreaterThan(stderr.lastIndexOf('\u001b[?25h'))
  })

  test('are not drawn on a terminal that knows nothing but lines', async () => {
    expect((await runInProcess(['list'], { tty: true, env: { TERM: 'dumb' }, onOpen: move })).stderr).toBe('')
  })

  test.each([[['list'], false], [['list', '-q'], true], [['list', '--json'], true]])('are not drawn: %j, terminal %s', async (argv, tty) => {
    expect((await runInProcess(argv, { tty, onOpen: move })).stderr).toBe('')
  })
})
