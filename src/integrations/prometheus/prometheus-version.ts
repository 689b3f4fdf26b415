import { parsePrometheusVersion, type PrometheusVersion } from '../../domain/prometheus-version.ts'
import { PromDrError } from '../../errors.ts'
import { runProgram } from '../../system/process.ts'

/**
 * The version of a Prometheus binary, from its `--version`.
 * @throws PROGRAM_MISSING, PROGRAM_FAILED when the program is not Prometheus
 */
export async function binaryVersion(path: string): Promise<PrometheusVersion> {
  const { stdout, stderr } = await runProgram(path, ['--version'], { timeoutMs: 20_000, maxOutputBytes: 64 * 1024 })
  const text = /^prometheus, version (\S+)/m.exec(`${stdout}\n${stderr}`)?.[1]
  const version = text === undefined ? undefined : parsePrometheusVersion(text)
  if (version === undefined) throw new PromDrError('PROGRAM_FAILED', `${path} is not a Prometheus server: its --version does not say so`)
  return version
}
