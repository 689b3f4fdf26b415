import { chown, lstat, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import type { VictoriaMetricsApi } from '../integrations/victoriametrics/victoriametrics-api.ts'
import { ifThere } from '../system/if-there.ts'
import { processesUsing } from '../system/open-files.ts'
import { runProgram } from '../system/process.ts'
import { findProgram } from '../system/programs.ts'
import { failedFinding, restoredBy } from './answers.ts'
import { readArchivedJson } from './archived-json.ts'
import type { Component, ExternalData, ExternalPlace, Finding } from './component.ts'
import { replacedName } from './placing/restore-names.ts'

export interface VictoriaMetricsSettings {
  api: VictoriaMetricsApi
  /** As VictoriaMetrics itself is given it. */
  storageDataPath: string
  vmbackup?: string
  vmrestore?: string
  now: () => Date
}

const describedIn = 'victoriametrics.json'
const descriptionSchema = z.looseObject({ version: z.string() })
/** Inside the data directory, which may be a mount point. VictoriaMetrics takes no notice of it. */
const stagingName = '.prom-dr-staging'
const programTimeoutMs = 24 * 3_600_000
/** vmbackup with next to nothing to copy may be done before its own HTTP server has begun: it ends in a panic then, and run again copies nothing twice. */
const stoppedTooSoon = /panic.*there is no http server at/
const mostRuns = 5

/** VictoriaMetrics through its own tools: parts are immutable, so that each backup copies the new ones alone. */
export function createVictoriaMetricsComponent(settings: VictoriaMetricsSettings): Component {
  const { api, storageDataPath } = settings
  return {
    name: 'victoriametrics',
    kind: 'victoriametrics',
    external: externalOf(settings),
    discover: (options) => discover(settings, options),
    async collect(into, options) {
      const version = await api.version(options)
      await writeFile(join(into, describedIn), `${JSON.stringify({ version, storageDataPath }, null, 2)}\n`, { mode: 0o600 })
      return { leftOut: [], warnings: [] }
    },
    async check(directory) {
      const description = await readArchivedJson(directory, describedIn, descriptionSchema)
      if (description === undefined) throw new PromDrError('DAMAGED', `the archive has no ${describedIn}`, { hint: 'restore another recovery point' })
      return [{ name: 'description', level: 'ok', detail: `VictoriaMetrics ${description.version}` }]
    },
    restore: async () => restoredBy(),
  }
}

function externalOf(settings: VictoriaMetricsSettings): ExternalData {
  const { api, storageDataPath, vmbackup = 'vmbackup', vmrestore = 'vmrestore', now } = settings
  const fetch = (place: ExternalPlace, into: string, signal: AbortSignal) => runTool(vmrestore, ['-src', addressOf(place), '-storageDataPath', into], { place, signal })
  return {
    async store(place, { previous, signal }) {
      const snapshot = await api.createSnapshot({ signal })
      try {
        if (place.url.startsWith('file:')) await mkdir(join(fileURLToPath(place.url), place.prefix), { recursive: true })
        await runTool(vmbackup, ['-storageDataPath', storageDataPath, '-snapshotName', snapshot, '-dst', addressOf(place), ...(previous === undefined ? [] : ['-origin', addressOf(previous)])], { place, signal })
      } finally {
        // Also after an interrupt: a snapshot keeps its parts from being deleted.
        await api.deleteSnapshot(snapshot)
      }
      return { warnings: [] }
    },
    async restore(place, { dryRun, signal }) {
      const users = await processesIn(storageDataPath)
      if (users.length > 0) throw new PromDrError('COMPONENT_REFUSED', `${users.join(', ')} uses ${storageDataPath}`, { hint: 'stop VictoriaMetrics first, and restore again' })
      const restored = restoredBy({ actions: [`${dryRun ? 'would fill' : 'filled'} ${storageDataPath} by vmrestore`] })
      if (dryRun) return restored
      const staging = join(storageDataPath, stagingName)
      await mkdir(staging, { recursive: true })
      await fetch(place, staging, signal)
      return restoredBy(restored, { movedAside: await exchange(storageDataPath, staging, now()) })
    },
    extract: (place, into, { signal }) => fetch(place, into, signal),
  }
}

async function discover({ api, storageDataPath, vmbackup = 'vmbackup', vmrestore = 'vmrestore' }: VictoriaMetricsSettings, options: { signal: AbortSignal }): Promise<Finding[]> {
  const findings: Finding[] = [vmbackup, vmrestore].map((program) => (findProgram(program) === undefined
    ? { name: program, level: 'fail', detail: 'is not installed', advice: 'install it: apt-get install victoria-metrics' }
    : { name: program, level: 'ok', detail: 'is installed' }))
  try {
    const [version, snapshots] = [await api.version(options), await api.listSnapshots(options)]
    findings.push({ name: 'victoriametrics', level: 'ok', detail: `VictoriaMetrics ${version} answers at ${api.url}` })
    if (snapshots.length > 0) findings.push({ name: 'snapshots', level: 'warn', detail: `${snapshots.length} snapshots are there: ${snapshots.slice(0, 3).join(', ')}`, advice: 'a backup that was killed may have left one; delete what nobody needs, they hold disk space' })
  } catch (error) {
    if (!hasCode(error, 'COMPONENT_FAILED', 'CONFIG_INVALID')) throw error
    findings.push(failedFinding('victoriametrics', error))
  }
  const readable = await isDirectory(join(storageDataPath, 'data'))
  findings.push(readable ? { name: storageDataPath, level: 'ok', detail: 'is readable' } : { name: storageDataPath, level: 'fail', detail: 'is not a data directory of VictoriaMetrics that this user can read', advice: 'give storageDataPath as VictoriaMetrics is given it, and run on its host' })
  return findings
}

/** `fs:///dir` or `s3://bucket/prefix`, as the tools want it. */
function addressOf({ url, prefix }: ExternalPlace): string {
  const below = prefix.replace(/\/$/, '')
  return url.startsWith('file:') ? `fs://${join(fileURLToPath(url), below)}` : `${url}/${below}`
}

/** Credentials go by the environment: arguments can be read by everybody. */
async function runTool(program: string, args: readonly string[], { place, signal }: { place: ExternalPlace; signal: AbortSignal }): Promise<void> {
  const { s3 = {} } = place
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    ...(s3.region !== undefined && { AWS_REGION: s3.region }), ...(s3.profile !== undefined && { AWS_PROFILE: s3.profile }),
    ...(s3.accessKeyId !== undefined && { AWS_ACCESS_KEY_ID: s3.accessKeyId }), ...(s3.secretAccessKey !== undefined && { AWS_SECRET_ACCESS_KEY: s3.secretAccessKey }),
    ...(s3.sessionToken !== undefined && { AWS_SESSION_TOKEN: s3.sessionToken }), ...(s3.caFile !== undefined && { AWS_CA_BUNDLE: s3.caFile }),
  }
  const endpoint = place.url.startsWith('s3:') ? [...(s3.endpoint === undefined ? [] : ['-customS3Endpoint', s3.endpoint]), ...(s3.forcePathStyle === undefined ? [] : [`-s3ForcePathStyle=${s3.forcePathStyle}`])] : []
  const cwd = await mkdtemp(join(tmpdir(), 'prom-dr-vm-'))
  try {
    // They serve metrics on all addresses unless told otherwise.
    const run = () => runProgram(program, [...args, ...endpoint, '-httpListenAddr', '127.0.0.1:0'], { env, cwd, timeoutMs: programTimeoutMs, signal })
    let result = await run()
    for (let again = 1; again < mostRuns && stoppedTooSoon.test(result.stderr); again += 1) result = await run()
    const { exitCode, stderr, stdout } = result
    if (exitCode === 0) return
    const said = `${stdout}\n${stderr}`.trim().split('\n').filter((line) => /error|fatal|panic/i.test(line)).slice(-3).join('; ').replaceAll('\t', ' ')
    throw new PromDrError('COMPONENT_FAILED', `${program} ended with ${exitCode}: ${said === '' ? stderr.trim().slice(-500) : said}`, { hint: 'see what it says; what it has copied is used by the next run' })
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
}

/** The old content goes aside, the new one comes up. Killed in between, nothing is lost: the next restore fetches what is missing and does it again. */
async function exchange(directory: string, staging: string, now: Date): Promise<{ from: string; to: string }[]> {
  const aside = join(directory, replacedName(now))
  const owner = await stat(directory)
  const old = (await readdir(directory)).filter((name) => !name.startsWith('.prom-dr-') && name !== 'lost+found')
  if (old.length > 0) await mkdir(aside, { mode: 0o700 })
  for (const name of old) await rename(join(directory, name), join(aside, name))
  for (const name of await readdir(staging)) {
    if (process.getuid?.() === 0) await chownAll(join(staging, name), owner)
    await rename(join(staging, name), join(directory, name))
  }
  await rm(staging, { recursive: true })
  return old.length === 0 ? [] : [{ from: directory, to: aside }]
}

async function chownAll(path: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  await chown(path, uid, gid)
  if (!(await lstat(path)).isDirectory()) return
  for (const name of await readdir(path)) await chownAll(join(path, name), { uid, gid })
}

async function processesIn(directory: string): Promise<string[]> {
  return (await isDirectory(directory)) ? processesUsing(directory) : []
}

async function isDirectory(path: string): Promise<boolean> {
  return (await ifThere(stat(path), ['ENOENT', 'EACCES', 'ENOTDIR']))?.isDirectory() ?? false
}
