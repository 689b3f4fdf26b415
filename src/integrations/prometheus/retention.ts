import { parseDuration } from '../../domain/duration.ts'
import { PromDrError } from '../../errors.ts'
import type { Retention } from './prometheus-api.ts'

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/**
 * Reads `storageRetention` of runtimeinfo: a duration, a size, or both (`15d`, `15d or 1GiB512MiB`), from 3.11 on a
 * share of the disk too (`80%`). A part that is not understood is an error: a limit that is overlooked deletes history.
 * @throws PROMETHEUS_BAD_RESPONSE
 */
export function parseRetention(text: string): Retention {
  const retention: Retention = {}
  for (const part of text.split(' or ').map((entry) => entry.trim()).filter((entry) => entry !== '')) {
    const sizeBytes = parseBase2Size(part)
    const percent = /^(\d+(?:\.\d+)?)%$/.exec(part)?.[1]
    if (percent !== undefined) retention.diskPercent = Number(percent)
    else if (sizeBytes !== undefined) retention.sizeBytes = sizeBytes
    else retention.timeMs = durationOf(part, 'storageRetention')
  }
  // Zero means no such limit.
  if (retention.timeMs === 0) delete retention.timeMs
  if (retention.sizeBytes === 0) delete retention.sizeBytes
  if (retention.diskPercent === 0) delete retention.diskPercent
  return retention
}

/** `31d` as a flag shows it, in ms. @throws PROMETHEUS_BAD_RESPONSE */
export function durationOf(text: string, where: string): number {
  try {
    return parseDuration(text)
  } catch (error) {
    throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `Prometheus answers ${JSON.stringify(text.slice(0, 100))} for ${where}, which is not a duration`, { cause: error })
  }
}

/** `1GiB512MiB`: units of 1024 added up, as Go's units.Base2Bytes prints them. */
function parseBase2Size(text: string): number | undefined {
  if (!/^(\d+(?:\.\d+)?([KMGTPE]iB|B))+$/.test(text)) return undefined
  let sizeBytes = 0
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)([KMGTPE]iB|B)/g)) sizeBytes += Number(count) * 1024 ** units.indexOf(unit!)
  return Math.round(sizeBytes)
}
