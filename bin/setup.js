#!/usr/bin/env node
// Brings a clean clone to the point where a job can run: node bin/setup.js --for quickstart|test|matrix|bench
// Plain JavaScript and Node's own modules only: it runs before anything is installed.
// Prints a line for each thing it does, and nothing when all is there.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Debian's package for each program; a program is known under any of its names. */
const quickstartPrograms = [
  { names: ['prometheus'], debianPackage: 'prometheus' },
  { names: ['promtool'], debianPackage: 'prometheus' },
  { names: ['prometheus-node-exporter', 'node_exporter'], debianPackage: 'prometheus-node-exporter' },
  { names: ['rsync'], debianPackage: 'rsync' },
]
const testPrograms = [
  ...quickstartPrograms,
  { names: ['radosgw'], debianPackage: 'radosgw' },
  { names: ['ceph-mon'], debianPackage: 'ceph-mon' },
  { names: ['ceph-osd'], debianPackage: 'ceph-osd' },
  { names: ['ceph'], debianPackage: 'ceph-common' },
  { names: ['openssl'], debianPackage: 'openssl' },
  { names: ['zsh'], debianPackage: 'zsh' },
  { names: ['fish'], debianPackage: 'fish' },
  { names: ['script'], debianPackage: 'bsdutils' },
  { names: ['jq'], debianPackage: 'jq' },
  { names: ['brotli'], debianPackage: 'brotli' },
  { names: ['age'], debianPackage: 'age' },
  { names: ['age-keygen'], debianPackage: 'age' },
  { names: ['brotli'], debianPackage: 'brotli' },
  { names: ['haproxy'], debianPackage: 'haproxy' },
  { names: ['nginx'], debianPackage: 'nginx-light' },
  { names: ['keepalived'], debianPackage: 'keepalived' },
  { names: ['prometheus-alertmanager'], debianPackage: 'prometheus-alertmanager' },
  { names: ['amtool'], debianPackage: 'prometheus-alertmanager' },
  { names: ['prometheus-pushgateway'], debianPackage: 'prometheus-pushgateway' },
  { names: ['victoria-metrics'], debianPackage: 'victoria-metrics' },
  { names: ['sqlite3'], debianPackage: 'sqlite3' },
]

/** `required`: the job is pointless without its programs. Tests say themselves what they had to leave out. */
const jobs = {
  quickstart: { programs: quickstartPrograms, required: true },
  test: { programs: testPrograms, required: process.env.PROM_DR_REQUIRE_PROGRAMS === '1' },
  matrix: { programs: [...testPrograms, { names: ['debootstrap'], debianPackage: 'debootstrap' }], required: true },
  bench: {
    programs: [...testPrograms, { names: ['restic'], debianPackage: 'restic' }, { names: ['rclone'], debianPackage: 'rclone' }],
    required: true,
  },
}

const policyFile = '/usr/sbin/policy-rc.d'
const policyMark = '# put here by prom-dr set-up while it installs packages'

class SetupError extends Error {}

function say(line) {
  process.stderr.write(`set-up: ${line}\n`)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  throw new SetupError(`Node ${process.versions.node} is too old: install Node 20.19 or newer (https://nodejs.org)`)
}

/** Runs a program without a shell; its output is kept back and shown only when it fails. */
function run(argv, options = {}) {
  const [program, ...rest] = argv
  const result = spawnSync(program, rest, {
    cwd: root,
    env: { ...process.env, ...options.env },
    stdio: ['inherit', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  if (result.signal === 'SIGINT' || result.signal === 'SIGTERM') throw new SetupError(`${argv.join(' ')} was interrupted`)
  if (result.error !== undefined) return { ok: false, output: result.error.message }
  return { ok: result.status === 0, output: `${result.stdout}${result.stderr}`.trim() }
}

function mustRun(argv, options) {
  const result = run(argv, options)
  if (!result.ok) throw new SetupError(`${argv.join(' ')} failed:\n${result.output}`)
}

/** What npm recorded as installed is compared with the lock file: clone and checkout give files new times, content stays. */
function npmPackagesAreInstalled() {
  const installedFile = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installedFile)) return false
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true
    if (installed[path] === undefined) return entry.optional === true || entry.devOptional === true || entry.peer === true
    return installed[path].version === entry.version
  })
}

function installNpmPackages() {
  if (npmPackagesAreInstalled()) return
  say('installing npm packages (npm ci)')
  mustRun(['npm', 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'])
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes(error.code)) return false
    throw error
  }
}

/** Daemons live in /usr/sbin, which is not on every user's PATH. */
function missingPrograms(programs) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'].filter((folder) => folder !== '')
  return programs.filter(({ names }) => !names.some((name) => folders.some((folder) => isExecutable(join(folder, name)))))
}

function isOnPath(name) {
  return missingPrograms([{ names: [name], debianPackage: name }]).length === 0
}

/** The argv that makes a command run as root, or undefined where that cannot be had. */
function rootPrefix() {
  if (process.getuid?.() === 0) return []
  if (run(['sudo', '-n', 'true']).ok) return ['sudo', '-n']
  if (!process.stdin.isTTY || !isOnPath('sudo')) return undefined
  say('sudo may ask for your password')
  return ['sudo']
}

/** Keeps services from starting while packages are installed. Returns what takes it away again. */
function holdServices(asRoot) {
  if (existsSync(policyFile) && !readFileSync(policyFile, 'utf8').includes(policyMark)) return () => {}
  const folder = mkdtempSync(join(tmpdir(), 'prom-dr-setup-'))
  try {
    writeFileSync(join(folder, 'policy-rc.d'), `#!/bin/sh\n${policyMark}\nexit 101\n`)
    mustRun([...asRoot, 'install', '-m', '755', join(folder, 'policy-rc.d'), policyFile])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return () => mustRun([...asRoot, 'rm', '-f', policyFile])
}

function aptListsAreEmpty() {
  const folder = '/var/lib/apt/lists'
  return !existsSync(folder) || !readdirSync(folder).some((name) => /_(Packages|InRelease)/.test(name))
}

/** Updates the package lists when there are none, or once more when an install fails with those that are there. */
function aptInstall(asRoot, packages) {
  const apt = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=300']
  const install = [...apt, 'install', '-y', '--no-install-recommends', ...packages]
  const fresh = aptListsAreEmpty()
  if (fresh) mustRun([...apt, 'update'])
  const first = run(install)
  if (first.ok) return
  if (fresh) throw new SetupError(`apt-get could not install ${packages.join(' ')}:\n${first.output}`)
  mustRun([...apt, 'update'])
  mustRun(install)
}

function installDebianPackages(packages) {
  if (!isOnPath('apt-get')) return 'there is no apt-get on this machine'
  const asRoot = rootPrefix()
  if (asRoot === undefined) return 'that needs root, and sudo is not available without a terminal'
  say(`installing Debian packages: ${packages.join(' ')}`)
  const release = holdServices(asRoot)
  try {
    aptInstall(asRoot, packages)
  } finally {
    release()
  }
  if (existsSync('/run/systemd/system')) say(`their services were not started; Debian enables them for the next boot ("systemctl disable" undoes it)`)
  return undefined
}

function installPrograms({ programs, required }) {
  const missing = missingPrograms(programs)
  if (missing.length === 0) return
  const packages = [...new Set(missing.map((program) => program.debianPackage))]
  let problem
  try {
    problem = installDebianPackages(packages)
  } catch (error) {
    if (required || !(error instanceof SetupError)) throw error
    problem = error.message
  }
  const still = missingPrograms(programs).map((program) => program.names[0])
  if (still.length === 0) return
  const sentence = `install ${packages.join(', ')} (Debian's package names), because ${problem ?? 'they are still missing after apt-get'}; missing: ${still.join(', ')}`
  if (required) throw new SetupError(sentence)
  say(`going on without ${still.join(', ')}: tests that need them are skipped (${sentence.split('\n')[0]})`)
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesBelow(path) : [path]
  })
}

/** Every source has an output that is not older, the bundle is newer than all, and the settings have not changed since. */
function buildIsCurrent() {
  const bundle = join(root, 'dist/prom-dr.cjs')
  if (!existsSync(bundle)) return false
  const bundledAt = statSync(bundle).mtimeMs
  const settings = ['bin/bundle.js', 'bin/load-bundle.js', 'tsconfig.json', 'tsconfig.build.json', 'node_modules/.package-lock.json'].map((name) => statSync(join(root, name)).mtimeMs)
  return filesBelow(join(root, 'src')).every((source) => {
    if (!source.endsWith('.ts')) return true
    const output = join(root, 'dist', relative(join(root, 'src'), source).replace(/\.ts$/, '.js'))
    if (!existsSync(output)) return false
    const builtAt = statSync(output).mtimeMs
    return builtAt >= Math.max(statSync(source).mtimeMs, ...settings) && bundledAt >= builtAt
  })
}

function build() {
  if (buildIsCurrent()) return
  say('building (npm run build)')
  mustRun(['npm', 'run', '--silent', 'build'])
}

function main(args) {
  const job = args[0] === '--for' && Object.hasOwn(jobs, args[1] ?? '') ? jobs[args[1]] : undefined
  if (job === undefined || args.length !== 2) throw new SetupError(`usage: node bin/setup.js --for ${Object.keys(jobs).join('|')}`)
  checkNode()
  installNpmPackages()
  installPrograms(job)
  build()
}

// With a listener, a signal waits for the step that runs, so that what was put in place is taken away again.
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (interrupted = true))

try {
  main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exitCode = 1
}
setImmediate(() => {
  if (interrupted) process.exit(130)
})
