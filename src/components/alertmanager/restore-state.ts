import { chown, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PromDrError, systemCode } from '../../errors.ts'
import { stateFileBytes } from '../../integrations/alertmanager/state-file.ts'
import { ifThere } from '../../system/if-there.ts'
import { ownerNumbers } from '../../system/machine.ts'
import type { RestoreComponentOptions } from '../component.ts'
import { ownerOf } from '../owner.ts'
import { type PutOutcome, putInPlace } from '../placing/put-in-place.ts'
import { readArchivedState, silencesFile, stateNames } from './archived-silences.ts'
import { alertmanagersOn } from './running-processes.ts'
import type { AlertmanagerComponentContext } from './settings.ts'

const nothing: PutOutcome = { actions: [], movedAside: [], warnings: [] }

/** @throws COMPONENT_REFUSED when a process keeps its state there although it does not answer */
export async function refuseStateInUse({ api, settings }: AlertmanagerComponentContext): Promise<void> {
  const users = settings.dataDir === undefined ? [] : await alertmanagersOn(settings.dataDir)
  if (users.length === 0) return
  throw new PromDrError('COMPONENT_REFUSED', `${users.join(', ')} keeps its state in ${settings.dataDir ?? ''}, but does not answer at ${api.url}: it would write over what is put there`, {
    hint: 'nothing was changed: stop it, or correct components.alertmanager.url',
  })
}

/**
 * Puts the archived state files into the data directory of a stopped server, silences with their ids.
 * @throws DAMAGED when a file is not whole
 */
export async function restoreState(from: string, options: RestoreComponentOptions, context: AlertmanagerComponentContext & { stateOwner: string | undefined }): Promise<PutOutcome> {
  const { dataDir } = context.settings
  const bytes = await archivedState(from)
  if (bytes.size === 0) return nothing
  if (dataDir === undefined) return { ...nothing, warnings: ['silences and the notification log were not restored: Alertmanager does not answer, and components.alertmanager.dataDir is not set'] }
  const scratch = await mkdtemp(join(dirname(from), '.prom-dr-state-'))
  try {
    for (const [name, content] of bytes) await writeFile(join(scratch, name), content, { mode: 0o644 })
    if (!options.dryRun) await makeDataDir(dataDir, context.stateOwner)
    const owner = (await isDirectory(dataDir)) ? await ownerOf(await stat(dataDir)) : context.stateOwner
    return await putInPlace({
      placements: [...bytes.keys()].map((name) => ({ source: join(scratch, name), destination: join(dataDir, name), owner })),
      obsolete: [],
      aside: (path) => ({ directory: dataDir, path: basename(path) }),
      attributes: 'here',
      now: context.clock.now(),
      dryRun: options.dryRun,
      signal: options.signal,
    })
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function archivedState(from: string): Promise<Map<(typeof stateNames)[number], Uint8Array>> {
  const [silences, notifications] = [await silencesFile(from), await readArchivedState(from, 'nflog')]
  return new Map([
    ...(silences === undefined ? [] : [['silences', silences] as const]),
    ...(notifications === undefined ? [] : [['nflog', stateFileBytes(notifications)] as const]),
  ])
}

/** It belongs to whom it belonged: the server has to write there. */
async function makeDataDir(dataDir: string, owner: string | undefined): Promise<void> {
  if (await isDirectory(dataDir)) return
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o755 })
    const numbers = owner === undefined || process.getuid?.() !== 0 ? undefined : await ownerNumbers(owner)
    if (numbers !== undefined) await chown(dataDir, numbers.uid, numbers.gid)
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    throw new PromDrError('COMPONENT_FAILED', `cannot make ${dataDir} (${systemCode(error)})`, { hint: 'run prom-dr as root, or make it yourself', cause: error })
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await ifThere(stat(path)))?.isDirectory() ?? false
}
