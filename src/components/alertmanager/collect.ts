import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PromDrError, hasCode, systemCode } from '../../errors.ts'
import { readStateFile, stateFileBytes } from '../../integrations/alertmanager/state-file.ts'
import { ifThere } from '../../system/if-there.ts'
import type { CollectOptions, Collected } from '../component.ts'
import { collectConfiguration } from '../configuration/collect-configuration.ts'
import { ownerOf } from '../owner.ts'
import { type StateName, silencesName, stateFolder, stateNames, writeExport } from './archived-silences.ts'
import type { AlertmanagerComponentContext } from './settings.ts'

/** What each part of the archive came to. */
interface Collecting extends Collected {
  found: number
}

/** @throws COMPONENT_FAILED when the configuration cannot be read, or there is nothing at all */
export async function collectAlertmanager(into: string, options: CollectOptions, context: AlertmanagerComponentContext): Promise<Collected> {
  const collecting: Collecting = { leftOut: [], warnings: [], found: 0 }
  await collectFiles(into, { options, context, collecting })
  await collectState(into, context, collecting)
  const silence = await collectExport(into, { options, context, collecting })
  if (collecting.found > 0) return { leftOut: collecting.leftOut, warnings: collecting.warnings }
  throw new PromDrError('COMPONENT_FAILED', `nothing of Alertmanager can be archived${silence === undefined ? '' : `: ${silence.message}`}`, {
    hint: 'start it, or set components.alertmanager.configFile and dataDir', cause: silence,
  })
}

interface Part {
  options: CollectOptions
  context: AlertmanagerComponentContext
  collecting: Collecting
}

async function collectFiles(into: string, { options, context, collecting }: Part): Promise<void> {
  const { configFile, dataDir } = context.settings
  if (configFile === undefined) {
    collecting.leftOut.push({ path: 'alertmanager.yml', reason: 'components.alertmanager.configFile is not set' })
    return
  }
  const stateOwner = dataDir === undefined ? undefined : await ownerIfThere(dataDir)
  const { leftOut, warnings } = await collectConfiguration(into, {
    roots: [{ path: configFile, role: 'config' }],
    reserved: [silencesName, stateFolder],
    secrets: options.secrets,
    signal: options.signal,
    ...(stateOwner !== undefined && { layout: { stateOwner } }),
  })
  collecting.leftOut.push(...leftOut)
  collecting.warnings.push(...warnings)
  collecting.found += 1
}

async function collectState(into: string, { settings }: AlertmanagerComponentContext, collecting: Collecting): Promise<void> {
  const { dataDir } = settings
  if (dataDir === undefined) {
    collecting.leftOut.push({ path: join(stateFolder, 'nflog'), reason: 'components.alertmanager.dataDir is not set: after a restore, what fires may be notified again' })
    return
  }
  for (const name of stateNames) {
    const path = join(dataDir, name)
    const bytes = await readState(path)
    if (bytes === undefined) {
      collecting.leftOut.push({ path, reason: 'is not there: Alertmanager writes it every 15 minutes (--data.maintenance-interval) and when it stops' })
      continue
    }
    const { records, damage } = readStateFile(bytes, name satisfies StateName)
    if (damage !== undefined) collecting.warnings.push(`${path} is broken: ${damage}; the ${records.length} records before that were archived, and Alertmanager will not start with it`)
    await mkdir(join(into, stateFolder), { recursive: true, mode: 0o700 })
    await writeFile(join(into, stateFolder, name), stateFileBytes(records), { mode: 0o644 })
    collecting.found += 1
  }
}

async function collectExport(into: string, { options, context, collecting }: Part): Promise<PromDrError | undefined> {
  try {
    await writeExport(into, await context.api.silences({ signal: options.signal }))
    collecting.found += 1
    return undefined
  } catch (error) {
    if (!hasCode(error, 'ALERTMANAGER_UNREACHABLE', 'ALERTMANAGER_BAD_RESPONSE')) throw error
    collecting.leftOut.push({ path: silencesName, reason: `the silences could not be asked for: ${error.message}` })
    collecting.warnings.push(`silences made since the state file was written are not archived: ${error.message}`)
    return error
  }
}

async function readState(path: string): Promise<Buffer | undefined> {
  try {
    return await ifThere(readFile(path))
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    throw new PromDrError('COMPONENT_FAILED', `${path} cannot be read (${systemCode(error)})`, { hint: 'run prom-dr as root, or as the user that Alertmanager runs as; is components.alertmanager.dataDir right?', cause: error })
  }
}

async function ownerIfThere(dataDir: string): Promise<string | undefined> {
  const stats = await ifThere(stat(dataDir))
  return stats === undefined ? undefined : ownerOf(stats.isDirectory() ? stats : await stat(dirname(dataDir)))
}
