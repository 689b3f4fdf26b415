import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const script = join(dirname(dirname(fileURLToPath(import.meta.url))), 'bin', 'setup.js')

/** A clone with one package installed and one source built, where npm only notes what it was asked. */
describe('bin/setup.js', () => {
  let clone: string
  let programs: string

  beforeEach(async () => {
    clone = await mkdtemp(join(tmpdir(), 'prom-dr-clone-'))
    programs = join(clone, 'programs')
    for (const folder of ['bin', 'src', 'dist', 'node_modules', 'programs']) await mkdir(join(clone, folder))
    await copyFile(script, join(clone, 'bin', 'setup.js'))
    for (const name of ['bundle.js', 'load-bundle.js']) await writeFile(join(clone, 'bin', name), '')
    const packages = { 'node_modules/wanted': { version: '1.2.3' } }
    const writeJson = (path: string, value: object) => writeFile(join(clone, path), JSON.stringify(value))
    await writeJson('package.json', { name: 'clone', type: 'module' })
    await writeJson('package-lock.json', { packages: { '': {}, ...packages, 'node_modules/other-platform': { version: '9.9.9', optional: true } } })
    await writeJson('node_modules/.package-lock.json', { packages })
    await writeJson('tsconfig.json', {})
    await writeJson('tsconfig.build.json', {})
    await writeFile(join(clone, 'src', 'main.ts'), '')
    await writeFile(join(clone, 'dist', 'main.js'), '')
    await writeFile(join(clone, 'dist', 'prom-dr.cjs'), '')
    await addProgram('npm', 'echo "$@" >> npm-calls')
  })

  afterEach(async () => {
    await rm(clone, { recursive: true, force: true })
  })

  async function addProgram(name: string, body = 'exit 0'): Promise<void> {
    await writeFile(join(programs, name), `#!/bin/sh\n${body}\n`)
    await chmod(join(programs, name), 0o755)
  }

  /** With no PATH but the clone's own programs there is no apt-get and no sudo, and little is installed. */
  function setUp(job: string, env: Record<string, string> = {}): Promise<{ exitCode: number; said: string }> {
    return new Promise((resolve) => {
      execFile(process.execPath, [join(clone, 'bin', 'setup.js'), '--for', job], { env: { PATH: programs, ...env } }, (error, stdout, stderr) => {
        resolve({ exitCode: error === null ? 0 : Number(error.code), said: `${stdout}${stderr}` })
      })
    })
  }

  async function npmCalls(): Promise<string[]> {
    return (await readFile(join(clone, 'npm-calls'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
  }

  const quickstartPrograms = ['prometheus', 'promtool', 'prometheus-node-exporter', 'rsync']

  it('says and does nothing when all is there', async () => {
    for (const name of quickstartPrograms) await addProgram(name)
    expect(await setUp('quickstart')).toEqual({ exitCode: 0, said: '' })
    expect(await npmCalls()).toEqual([])
  })

  it('takes node_exporter under its upstream name', async () => {
    for (const name of ['prometheus', 'promtool', 'node_exporter', 'rsync']) await addProgram(name)
    expect((await setUp('quickstart')).exitCode).toBe(0)
  })

  it('installs npm packages when one has another version than the lock file', async () => {
    for (const name of quickstartPrograms) await addProgram(name)
    await writeFile(join(clone, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: { 'node_modules/wanted': { version: '1.2.2' } } }))
    expect((await setUp('quickstart')).said).toContain('set-up: installing npm packages (npm ci)\n')
    expect((await npmCalls())[0]).toMatch(/^ci /)
  })

  it('installs npm packages when there are none', async () => {
    for (const name of quickstartPrograms) await addProgram(name)
    await rm(join(clone, 'node_modules'), { recursive: true })
    await addProgram('npm', `echo "$@" >> npm-calls; [ "$1" != ci ] || { /bin/mkdir -p node_modules && echo '{"packages":{}}' > node_modules/.package-lock.json; }`)
    expect((await setUp('quickstart')).exitCode).toBe(0)
    expect((await npmCalls())[0]).toMatch(/^ci /)
  })

  it('shows what npm said when it fails, and stops', async () => {
    for (const name of quickstartPrograms) await addProgram(name)
    await rm(join(clone, 'node_modules'), { recursive: true })
    await addProgram('npm', 'echo "the registry is away" >&2; exit 1')
    const { exitCode, said } = await setUp('quickstart')
    expect(exitCode).toBe(1)
    expect(said).toContain('the registry is away')
  })

  it('builds when a source is newer than its output, and when an output is missing', async () => {
    for (const name of quickstartPrograms) await addProgram(name)
    const later = new Date(Date.now() + 60_000)
    await utimes(join(clone, 'src', 'main.ts'), later, later)
    expect((await setUp('quickstart')).said).toBe('set-up: building (npm run build)\n')
    await rm(join(clone, 'dist', 'main.js'))
    await setUp('quickstart')
    expect(await npmCalls()).toEqual(['run --silent build', 'run --silent build'])
  })

  it('builds when the way it is done has changed', async () => {
    for (const name of quickstartPrograms) await addProgram(name)
    const later = new Date(Date.now() + 60_000)
    await utimes(join(clone, 'bin', 'bundle.js'), later, later)
    expect((await setUp('quickstart')).said).toBe('set-up: building (npm run build)\n')
  })

  it('builds when the bundle is missing, or older than what it was made of', async () => {
    for (const name of quickstartPrograms) await addProgram(name)
    const later = new Date(Date.now() + 60_000)
    await utimes(join(clone, 'dist', 'main.js'), later, later)
    expect((await setUp('quickstart')).said).toBe('set-up: building (npm run build)\n')
    await utimes(join(clone, 'dist', 'prom-dr.cjs'), later, later)
    expect((await setUp('quickstart')).said).toBe('')
    await rm(join(clone, 'dist', 'prom-dr.cjs'))
    expect((await setUp('quickstart')).said).toBe('set-up: building (npm run build)\n')
  })

  it('names in one sentence what to install where it cannot install it', async () => {
    const { exitCode, said } = await setUp('quickstart')
    expect(exitCode).toBe(1)
    expect(said).toBe(
      "set-up: install prometheus, prometheus-node-exporter, rsync (Debian's package names), because there is no apt-get on this machine; missing: prometheus, promtool, prometheus-node-exporter, rsync\n",
    )
  })

  it('goes on with the tests without a program, saying so in one line, unless programs are demanded', async () => {
    const names = [...(await readFile(script, 'utf8')).matchAll(/names: \['([^']+)'/g)].map((match) => match[1] ?? '')
    for (const name of names) if (name !== 'openssl') await addProgram(name)
    const lenient = await setUp('test')
    expect(lenient.exitCode).toBe(0)
    expect(lenient.said).toMatch(/^set-up: going on without openssl: .*\n$/)
    const strict = await setUp('test', { PROM_DR_REQUIRE_PROGRAMS: '1' })
    expect(strict.exitCode).toBe(1)
    expect(strict.said).toContain('install openssl')
  })

  it('refuses jobs that it does not know', async () => {
    expect(await setUp('everything')).toEqual({ exitCode: 1, said: 'set-up: usage: node bin/setup.js --for quickstart|test|matrix|bench\n' })
  })
})
