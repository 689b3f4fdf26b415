import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { processesMarked } from '../support/marked-processes.ts'
import { needPrograms } from '../support/programs.ts'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

interface Run {
  child: ChildProcess
  output(): string
  /** Resolves when the text has been printed; rejects when the process ends before. */
  printed(text: string): Promise<void>
  ended: Promise<{ exitCode: number | null; signal: NodeJS.Signals | null }>
}

/** A temporary directory and a mark in the environment of each test: what is left behind is found by them. */
interface Place {
  temporary: string
  mark: string
}

const it = test.extend<{ place: Place }>({
  place: async ({}, use) => {
    const place = { temporary: await mkdtemp(join(tmpdir(), 'prom-dr-test-')), mark: `QUICKSTART_TEST=${randomUUID()}` }
    await use(place)
    for (const { pid } of processesMarked(place.mark)) process.kill(pid, 'SIGKILL')
    await rm(place.temporary, { recursive: true, force: true })
  },
})

function start({ temporary, mark }: Place, argv: string[]): Run {
  const [name, value] = mark.split('=') as [string, string]
  // npm leads a group of its own, as it does when a shell starts it.
  const child = spawn(argv[0]!, argv.slice(1), { cwd: root, detached: true, env: { ...process.env, TMPDIR: temporary, [name]: value }, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding('utf8').on('data', (part: string) => (text += part))
  const ended = once(child, 'close').then(([exitCode, signal]) => ({ exitCode, signal }))
  const printed = (wanted: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (text.includes(wanted)) resolve()
      }
      for (const stream of [child.stdout!, child.stderr!]) stream.on('data', look)
      void ended.then(() => reject(new Error(`it ended before it printed ${JSON.stringify(wanted)}:\n${text}`)))
      look()
    })
  return { child, output: () => text, printed, ended }
}

// They wait far more than they compute.
describe.concurrent('npm run quickstart', () => {
  it('loses a Prometheus, brings it back and reports what was lost, how long it took and that answers are equal', { timeout: 400_000 }, async ({ place, skip }) => {
    needPrograms({ skip }, 'prometheus', 'prometheus-node-exporter')
    const run = start(place, [process.execPath, 'bin/quickstart.js'])
    const { exitCode } = await run.ended
    expect(exitCode, run.output()).toBe(0)
    expect(run.output()).toMatch(/^ {3}\$ node \S*bin\/prom-dr\.js backup /m)
    expect(run.output()).toMatch(/^ {3}\$ node \S*bin\/prom-dr\.js restore --at latest --target \S+ --start/m)
    const lostSeconds = Number(/^RPO .*?([\d.]+) s$/m.exec(run.output())?.[1])
    // Five seconds are collected after the backup on purpose, so that a smaller loss would be a wrong measurement.
    expect(lostSeconds).toBeGreaterThanOrEqual(5)
    expect(lostSeconds).toBeLessThan(20)
    const rtoSeconds = Number(/^RTO .*?([\d.]+) s$/m.exec(run.output())?.[1])
    const phases = [...run.output().matchAll(/^ {8}(?:restore|server): .*\s([\d.]+) s$/gm)].map((match) => Number(match[1]))
    expect(phases.length).toBeGreaterThan(3)
    expect(Math.abs(phases.reduce((sum, phase) => sum + phase, 0) - rtoSeconds)).toBeLessThan(0.2)
    expect(run.output()).toMatch(/^ANSWERS .* 5 of 5$/m)
    expect(run.output()).toMatch(/^ {8}[\d,]+ samples of \d+ series +equal bit for bit/m)
    expect(processesMarked(place.mark)).toEqual([])
    expect(await readdir(place.temporary)).toEqual([])
  })

  it('keeps the repository, its configuration and the restored data where it is told to', { timeout: 400_000 }, async ({ place, skip }) => {
    needPrograms({ skip }, 'prometheus', 'prometheus-node-exporter')
    const kept = join(place.temporary, 'kept')
    const run = start(place, [process.execPath, 'bin/quickstart.js', '--keep', kept])
    const { exitCode } = await run.ended
    expect(exitCode, run.output()).toBe(0)
    expect(await readdir(kept)).toEqual(expect.arrayContaining(['prom-dr.yml', 'repository', 'restored']))
    const verify = start(place, [process.execPath, 'bin/prom-dr.js', 'verify', '--read-data', '--config', join(kept, 'prom-dr.yml')])
    expect((await verify.ended).exitCode, verify.output()).toBe(0)
    expect(processesMarked(place.mark)).toEqual([])
  })

  it.for([
    ['SIGINT', [process.execPath, 'bin/quickstart.js'], 130],
    ['SIGHUP', [process.execPath, 'bin/quickstart.js'], 129],
    ['SIGTERM', ['npm', 'run', '--silent', 'quickstart'], 143],
  ] as const)('leaves no process and no file behind when %s stops it in the middle', async ([signal, argv, expected], { place, skip, expect }) => {
    needPrograms({ skip }, 'prometheus', 'prometheus-node-exporter')
    const run = start(place, [...argv])
    await run.printed('collecting')
    expect(processesMarked(place.mark).filter(({ command }) => /^\S*prometheus(-node-exporter)? --/.test(command))).toHaveLength(2)
    process.kill(run.child.pid!, signal)
    const { exitCode, signal: endedBy } = await run.ended
    expect(exitCode ?? endedBy).toSatisfy((reason) => reason === expected || reason === signal)
    // Polling needs the expect of this test: its neighbours run at the same time.
    await expect.poll(() => processesMarked(place.mark)).toEqual([])
    expect(await readdir(place.temporary)).toEqual([])
  })

  it('leaves no process behind when a command is stopped by Ctrl-C while it runs', async ({ place, skip }) => {
    needPrograms({ skip }, 'prometheus', 'prometheus-node-exporter')
    const run = start(place, [process.execPath, 'bin/quickstart.js'])
    await run.printed('prom-dr.js backup')
    process.kill(-run.child.pid!, 'SIGINT')
    expect((await run.ended).exitCode, run.output()).toBe(130)
    expect(processesMarked(place.mark)).toEqual([])
    expect(await readdir(place.temporary)).toEqual([])
  })

  it('refuses to work in a directory that has something in it', async ({ place }) => {
    await writeFile(join(place.temporary, 'mine'), 'precious')
    const run = start(place, [process.execPath, 'bin/quickstart.js', '--keep', place.temporary])
    expect((await run.ended).exitCode).toBe(2)
    expect(run.output()).toContain(`${place.temporary} is not empty`)
    expect(await readdir(place.temporary)).toEqual(['mine'])
  })
})
