import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'vitest'

/** The page's one block of shell. */
export function onlyShellOf(page: string): string {
  const blocks = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map((match) => match[1] ?? '')
  expect(blocks).toHaveLength(1)
  return blocks[0] ?? ''
}

/** A script with this machine's names for those of the example: each has to be in it. */
export function withNames(script: string, names: readonly (readonly [from: string, to: string])[]): string {
  return names.reduce((text, [from, to]) => {
    expect(text).toContain(from)
    return text.replaceAll(from, to)
  }, script)
}

/** What the page does on a host where Prometheus is installed, where it is to be done in a directory of a test. */
export function withoutHost(script: string, target: string): string {
  return withNames(script, [
    ['T=/var/lib/prometheus/metrics2', `T='${target}'`],
    ['chown -R prometheus:prometheus', 'chown -R "$(id -u):$(id -g)"'],
    ['systemctl start prometheus', ''],
  ])
}

/** As an operator would: the first command that fails ends it. @returns what it printed */
export async function follow(script: string, cwd: string): Promise<string> {
  return (await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { cwd })).stdout
}
