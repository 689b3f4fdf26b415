import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PromDrError, hasCode } from '../../errors.ts'
import { ifThere } from '../../system/if-there.ts'
import { failedFinding } from '../answers.ts'
import type { Finding } from '../component.ts'
import { judge } from '../configuration/judge.ts'
import { type Layout, layoutName, plainFilesBelow, readLayout } from '../configuration/layout.ts'
import { withRewrittenCopy } from '../configuration/rewritten-copy.ts'
import { archivedSilences, archivedStateNames, readArchivedState } from './archived-silences.ts'

/** Undefined for an archive without a configuration. @throws DAMAGED when the archive holds what it should not */
export async function archivedLayout(directory: string): Promise<Layout | undefined> {
  if ((await ifThere(stat(join(directory, layoutName)))) !== undefined) return readLayout(directory, archivedStateNames)
  const unknown = (await plainFilesBelow(directory)).find((path) => !archivedStateNames.includes(path))
  if (unknown === undefined) return undefined
  throw new PromDrError('DAMAGED', `the archive holds ${JSON.stringify(unknown)}, and no ${layoutName} that names it`, { hint: 'restore another recovery point' })
}

/** `amtool check-config` with the archived templates, and whether Alertmanager would start with the archived state. */
export async function checkAlertmanager(directory: string, { amtool, signal }: { amtool: string; signal: AbortSignal }): Promise<Finding[]> {
  const layout = await archivedLayout(directory)
  const configuration: Finding[] = layout === undefined
    ? [{ name: 'configuration', level: 'warn', detail: 'is not in the archive', advice: 'set components.alertmanager.configFile' }]
    : await checkConfiguration(directory, layout, { amtool, signal })
  return [...configuration, await checkState(directory)]
}

async function checkConfiguration(directory: string, layout: Layout, { amtool, signal }: { amtool: string; signal: AbortSignal }): Promise<Finding[]> {
  try {
    return await withRewrittenCopy(directory, layout, async (copy) => [await judge({ name: 'configuration', program: amtool, args: ['check-config', copy.configFile], copy, signal })])
  } catch (error) {
    if (!hasCode(error, 'COMPONENT_FAILED')) throw error
    return [failedFinding('configuration', error)]
  }
}

async function checkState(directory: string): Promise<Finding> {
  try {
    const [silences, notifications] = [await archivedSilences(directory), await readArchivedState(directory, 'nflog')]
    const log = notifications === undefined ? 'no notification log' : `${notifications.length} entries in the notification log`
    return { name: 'state', level: 'ok', detail: `${silences.length} silences, ${log}` }
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error
    return failedFinding('state', error)
  }
}
