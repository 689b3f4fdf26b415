import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { distDir, launcher, promDr, start } from './launcher.ts'

describe('the launcher', () => {
  test('prints the version of the package', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
    expect(await promDr(['--version'], { cwd: await temporaryDirectory() })).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('says what to do where prom-dr is not built', async () => {
    const cwd = await temporaryDirectory()
    await mkdir(join(cwd, 'bin'))
    await copyFile(launcher, join(cwd, 'bin', 'prom-dr.js'))
    await writeFile(join(cwd, 'package.json'), '{"type": "module"}')
    const { code, stderr } = await start([process.execPath, join(cwd, 'bin', 'prom-dr.js'), 'list'], { cwd }).ended
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'error: prom-dr is not built\nhint: run "npm ci && npm run build" in its directory\n' })
  })

  test('runs the bundle with what V8 compiled of it, and as well where that is of another V8 or source, damaged, cut short or gone', async () => {
    const cwd = await temporaryDirectory()
    const root = dirname(dirname(launcher))
    const copy = (path: string) => copyFile(join(root, path), join(cwd, path))
    await Promise.all(['bin', 'dist'].map((name) => mkdir(join(cwd, name))))
    await symlink(join(root, 'node_modules'), join(cwd, 'node_modules'))
    await Promise.all(['package.json', 'bin/prom-dr.js', 'bin/load-bundle.js', ...(await readdir(distDir)).filter((name) => /\.cjs(\.v8)?$/.test(name)).map((name) => `dist/${name}`)].map(copy))
    const compiled = join(cwd, 'dist', 'prom-dr.cjs.v8')
    const whole = await readFile(compiled)
    const source = await readFile(join(cwd, 'dist', 'prom-dr.cjs'))
    const sealed = (text: Buffer, form: Buffer) => Buffer.concat([createHash('sha256').update(text).update(form).digest(), form])
    const of = (change: (compiled: Buffer) => void) => {
      const compiled = Buffer.from(whole.subarray(32))
      change(compiled)
      return compiled
    }
    const otherVersion = sealed(source, of((compiled) => compiled.writeUInt32LE(compiled.readUInt32LE(4) ^ 1, 4)))
    // V8 would run it into a crash.
    const damaged = Buffer.concat([whole.subarray(0, 32), of((compiled) => (compiled[compiled.length >> 1]! ^= 4))])
    const ofAnotherSource = sealed(Buffer.alloc(source.length), whole.subarray(32))
    const isUsed = `import { readFileSync } from 'node:fs'; import { compile, readCompiled } from './bin/load-bundle.js'; const source = readFileSync('dist/prom-dr.cjs'); const cachedData = readCompiled('dist/prom-dr.cjs', source); console.log(cachedData !== undefined && !compile('dist/prom-dr.cjs', { source, cachedData }).cachedDataRejected)`
    for (const bytes of [whole, otherVersion, damaged, ofAnotherSource, whole.subarray(0, whole.length / 2), Buffer.alloc(0), undefined]) {
      await (bytes === undefined ? rm(compiled) : writeFile(compiled, bytes))
      const { code, stdout, stderr } = await start([process.execPath, join(cwd, 'bin', 'prom-dr.js'), 'list', '--json'], { cwd }).ended
      expect({ code, stderr }).toEqual({ code: 8, stderr: '' })
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'REPOSITORY_NOT_FOUND' } })
      expect(await start([process.execPath, '--input-type=module', '--eval', isUsed], { cwd }).ended).toMatchObject({ stdout: `${bytes === whole}\n` })
    }
  })

  test('ends with 2 and a suggestion for a command that does not exist', async () => {
    expect(await promDr(['bakcup'], { cwd: await temporaryDirectory() })).toMatchObject({ code: 2, stdout: '', stderr: "error: unknown command 'bakcup'\nhint: did you mean backup?\n" })
  })

  test('ends with 2 and every mistake for a configuration that is wrong', async () => {
    const cwd = await temporaryDirectory()
    await writeFile(join(cwd, 'prom-dr.yml'), 'prometheus:\n  url: nowhere\n  tls: {caFile: gone.pem}\n')
    const { code, stderr } = await promDr(['list'], { cwd })
    expect(code).toBe(2)
    expect(stderr).toContain('line 2: prometheus.url must be an http:// or https:// address')
    expect(stderr).toContain(`line 3: prometheus.tls.caFile names ${join(cwd, 'gone.pem')}, which does not exist`)
  })

  test('ends with 8 and one JSON document where there is no repository yet', async () => {
    const { code, stdout } = await promDr(['list', '--json', '--log-level', 'trace'], { cwd: await temporaryDirectory() })
    expect(code).toBe(8)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'REPOSITORY_NOT_FOUND', hint: expect.any(String) } })
  })

  test('reads .env beside the configuration, and writes JSON to stdout only', async () => {
    const cwd = await temporaryDirectory()
    await writeFile(join(cwd, '.env'), 'PROM_DR_INSTANCE=from-dot-env\n')
    const { code, stdout } = await promDr(['init', '--stdout', '--json'], { cwd, env: { PROM_DR_PROMETHEUS_URL: 'http://127.0.0.1:1' } })
    expect(code).toBe(0)
    expect(JSON.parse(stdout).discovered).toContainEqual({ name: 'instance', value: 'from-dot-env' })
  })

  test('names the file where a directory was given as configuration', async () => {
    const cwd = await temporaryDirectory()
    expect(await promDr(['list', '--config', cwd], { cwd })).toMatchObject({ code: 2, stderr: expect.stringContaining(`hint: name the file in it, such as ${join(cwd, 'prom-dr.yml')}`) })
  })

  test('init writes a file that loads, and never overwrites it', async () => {
    const cwd = await temporaryDirectory()
    const env = { PROM_DR_PROMETHEUS_URL: 'http://127.0.0.1:1' }
    expect((await promDr(['init'], { cwd, env })).code).toBe(0)
    const written = await readFile(join(cwd, 'prom-dr.yml'), 'utf8')
    expect((await promDr(['list'], { cwd })).code).toBe(8)
    const again = await promDr(['init'], { cwd, env })
    expect(again.code).not.toBe(0)
    expect(again.stderr).toContain('prom-dr.yml')
    expect(await readFile(join(cwd, 'prom-dr.yml'), 'utf8')).toBe(written)
  })
})

describe('pipes', () => {
  /** A configuration whose mistakes fill more than any pipe holds. */
  async function manyMistakes(): Promise<string> {
    const cwd = await temporaryDirectory()
    await writeFile(join(cwd, 'prom-dr.yml'), Array.from({ length: 4000 }, (_, index) => `zzzzzzzzzzzzzzzz${index}: 1\n`).join(''))
    return cwd
  }

  test('get the whole of a large JSON document', async () => {
    const { code, stdout } = await promDr(['list', '--json'], { cwd: await manyMistakes() })
    expect(code).toBe(2)
    expect(stdout.length).toBeGreaterThan(500_000)
    expect(JSON.parse(stdout).error.details.problems).toHaveLength(4000)
  })

  test('that cannot be written to are a failure, and only where they are the answer', async () => {
    const cwd = await manyMistakes()
    const shell = (line: string) => start(['bash', '-c', line.replaceAll('prom-dr', `"${process.execPath}" "${launcher}"`)], { cwd }).ended
    const full = await shell('prom-dr --version > /dev/full')
    expect(full).toMatchObject({ code: 1, stderr: expect.stringContaining('error: the answer could not be written: ENOSPC') })
    expect((await shell('prom-dr --version | true; exit ${PIPESTATUS[0]}')).code).toBe(0)
    expect((await shell('prom-dr list 2> /dev/full')).code).toBe(2)
    expect((await shell('prom-dr --version >&- 2>&- <&-')).code).toBe(0)
  })

  test('that are closed early are no failure and no noise', async () => {
    const { stdout, stderr } = await start(['bash', '-c', `"${process.execPath}" "${launcher}" list --json | head -c 1`], { cwd: await manyMistakes() }).ended
    expect({ stdout, stderr }).toEqual({ stdout: '{', stderr: '' })
  })
})

describe('a signal', () => {
  /** A server that takes requests and never answers; resolves `asked` at the first one. */
  async function silentServer(): Promise<{ url: string; asked: Promise<void> }> {
    let tell = () => {}
    const asked = new Promise<void>((resolve) => (tell = resolve))
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => tell())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
  }

  test.each(['SIGINT', 'SIGTERM'] as const)('%s ends a run that waits, with 130 and a word', async (signal) => {
    const { url, asked } = await silentServer()
    const run = start([process.execPath, launcher, 'backup', '--json'], { cwd: await temporaryDirectory(), env: { PROM_DR_PROMETHEUS_URL: url } })
    await Promise.race([asked, run.ended])
    run.kill(signal)
    const { code, stdout } = await run.ended
    expect(code).toBe(130)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'INTERRUPTED' } })
  })
})

describe('a terminal', () => {
  const quoted = (argv: string[]) => argv.map((word) => `'${word}'`).join(' ')
  const onTerminal = async (argv: string[], env: Record<string, string> = {}) =>
    start(['script', '-qec', quoted(argv), '/dev/null'], { cwd: await temporaryDirectory(), env: { PROM_DR_PROMETHEUS_URL: 'http://127.0.0.1:1', ...env } }).ended

  test('gets colours, and with NO_COLOR or --no-color none', async (context) => {
    needPrograms(context, 'script')
    const coloured = await onTerminal([process.execPath, launcher, 'doctor'])
    expect(coloured.code).toBe(1)
    expect(coloured.stdout).toContain('\u001b[31mFAIL')
    expect((await onTerminal([process.execPath, launcher, 'doctor'], { NO_COLOR: '1' })).stdout).not.toContain('\u001b')
    expect((await onTerminal([process.execPath, launcher, 'doctor', '--no-color'])).stdout).not.toContain('\u001b')
  })

  test('gets errors in colour, and pretty logs instead of JSON', async (context) => {
    needPrograms(context, 'script')
    const { code, stdout } = await onTerminal([process.execPath, launcher, 'show', 'nothing'])
    expect(code).toBe(2)
    expect(stdout).toContain('\u001b[31merror:')
  })

  test('gets a progress bar, and its cursor back', async (context) => {
    needPrograms(context, 'script')
    const file = join(await temporaryDirectory(), 'bar.mjs')
    await writeFile(
      file,
      `import { createProgressBar } from '${distDir}cli/progress-bar.js'
const bar = createProgressBar({ stream: process.stderr, enabled: process.stderr.isTTY === true })
bar.start('blocks', 1000)
bar.advance(420)
bar.finish()
`,
    )
    const { stdout } = await onTerminal([process.execPath, file])
    expect(stdout).toContain('420 B of 1000 B')
    expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'))
    expect((await start([process.execPath, file], { cwd: await temporaryDirectory() }).ended).stderr).toBe('')
  })
})
