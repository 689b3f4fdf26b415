import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProgram } from '../../src/system/process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Debian's suites with other versions of Prometheus: 2.53 and 3.5. Remove `.cache/other-suite` to fetch newer ones. */
export type OtherSuite = 'trixie' | 'sid'

/** The path of a program in a package of another Debian suite, fetched once into `.cache/`. Needs the network the first time. */
export async function programOf(suite: OtherSuite, packageName: string, program: string): Promise<string> {
  const directory = join(root, '.cache', 'other-suite', `${suite}-${packageName}`)
  const path = join(directory, 'usr/bin', program)
  if (existsSync(path)) return path
  const script = fileURLToPath(new URL('other-suite.sh', import.meta.url))
  const { exitCode, stderr } = await runProgram('bash', [script, suite, packageName, directory], { timeoutMs: 10 * 60_000 })
  if (exitCode !== 0) throw new Error(`${packageName} of ${suite} could not be fetched: ${stderr}`)
  return path
}

/** Call it at the top of a `*.matrix.test.ts`, then import the test files that are to run on that version. */
export async function usePrometheusOf(suite: OtherSuite): Promise<void> {
  process.env['PROM_DR_TEST_PROMETHEUS'] = await programOf(suite, 'prometheus', 'prometheus')
}

/** As `usePrometheusOf`, for promtool, which those suites have in a package of its own. */
export async function usePromtoolOf(suite: OtherSuite): Promise<void> {
  process.env['PROM_DR_TEST_PROMTOOL'] = await programOf(suite, 'promtool', 'promtool')
}

/** As `usePrometheusOf`, for Alertmanager and amtool. */
export async function useAlertmanagerOf(suite: OtherSuite): Promise<void> {
  process.env['PROM_DR_TEST_ALERTMANAGER'] = await programOf(suite, 'prometheus-alertmanager', 'prometheus-alertmanager')
}
