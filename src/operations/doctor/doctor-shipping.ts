import { dirname } from 'node:path'
import { directoryFacts, mayWrite } from '../../tsdb/data-directory-access.ts'
import type { DoctorContext } from './doctor-context.ts'
import type { DoctorCheck } from './doctor-report.ts'

/** Whether `ship` could write its metrics. Nothing where none are wanted. */
export async function checkShipping({ settings: { metricsFile }, host }: DoctorContext): Promise<DoctorCheck[]> {
  if (metricsFile === undefined) return []
  const check = { area: 'ship', name: 'metrics file' }
  const directory = dirname(metricsFile)
  // A file has nothing in it that could be looked at.
  const inside = `${directory}/.`
  if ((await directoryFacts(inside)).path !== inside) {
    return [{ ...check, status: 'fail', detail: `${metricsFile}: there is no directory ${directory}, and "prom-dr ship" refuses to start`, advice: 'set ship.metricsFile to a file in node_exporter\'s --collector.textfile.directory, or make the directory' }]
  }
  if (!(await mayWrite(directory))) return [{ ...check, status: 'warn', detail: `${directory} is not writable for uid ${host.uid}: shipping goes on without metrics`, advice: 'let the user that runs "prom-dr ship" write there' }]
  return [{ ...check, status: 'ok', detail: metricsFile }]
}
