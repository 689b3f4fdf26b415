import { fileURLToPath } from 'node:url'
import { directoryFacts, liesIn } from '../../tsdb/data-directory-access.ts'
import type { NamedStore } from '../backup/backup.ts'
import { type DoctorContext, knownDataDirectory } from './doctor-context.ts'
import type { DoctorCheck } from './doctor-report.ts'

/** Whether a repository in a directory would be lost together with what it is there to replace. Others are elsewhere by their nature. */
export async function checkPlacement(context: DoctorContext, { name: repository, store }: NamedStore): Promise<DoctorCheck[]> {
  if (!store.url.startsWith('file:')) return []
  const dataDir = await knownDataDirectory(context)
  if (dataDir === undefined) return []
  const check = { area: `repository ${repository}`, name: 'placement' }
  const root = fileURLToPath(store.url)
  if ((await liesIn(root, dataDir)) || (await liesIn(dataDir, root))) {
    return [{ ...check, status: 'fail', detail: `${root} and the data directory ${dataDir} lie in each other`, advice: 'give the repository a directory of its own, on another disk or host' }]
  }
  const [mine, its] = await Promise.all([directoryFacts(root), directoryFacts(dataDir)])
  if (mine.device === its.device) {
    return [{ ...check, status: 'warn', detail: `${root} is on the file system of the data directory ${dataDir}: a lost disk takes both`, advice: 'put it on another disk or host, or configure a second repository there' }]
  }
  return [{ ...check, status: 'ok', detail: 'on another file system than the data directory' }]
}
