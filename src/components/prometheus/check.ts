import { z } from 'zod'
import { hasCode } from '../../errors.ts'
import { failedFinding } from '../answers.ts'
import { readArchivedJson } from '../archived-json.ts'
import type { Finding } from '../component.ts'
import { isGoPattern } from '../configuration/go-glob.ts'
import { judge } from '../configuration/judge.ts'
import type { Layout } from '../configuration/layout.ts'
import { type RewrittenCopy, withRewrittenCopy } from '../configuration/rewritten-copy.ts'

export const flagsName = 'flags.json'

const flagsSchema = z.object({ version: z.string(), workingDirectory: z.string(), flags: z.record(z.string(), z.string()) })
export type ArchivedFlags = z.infer<typeof flagsSchema>

/** The command line that the server had; undefined when it could not be asked. @throws DAMAGED */
export async function archivedFlags(directory: string): Promise<ArchivedFlags | undefined> {
  return readArchivedJson(directory, flagsName, flagsSchema)
}

/** `promtool check config`, `check rules` and `check web-config` on archived files, wherever they lie. */
export async function checkConfiguration(directory: string, layout: Layout, options: { promtool: string; signal: AbortSignal }): Promise<Finding[]> {
  const flags = (await archivedFlags(directory))?.flags ?? {}
  try {
    return await withRewrittenCopy(directory, layout, (copy) => checkCopy(copy, { ...options, flags }))
  } catch (error) {
    if (!hasCode(error, 'COMPONENT_FAILED')) throw error
    return [failedFinding('configuration', error)]
  }
}

interface CheckOptions {
  promtool: string
  flags: Record<string, string>
  signal: AbortSignal
}

async function checkCopy(copy: RewrittenCopy, { promtool, flags, signal }: CheckOptions): Promise<Finding[]> {
  const shared = { program: promtool, copy, signal }
  const features = flags['enable-feature'] ?? ''
  const featureArgs = /^[\w,-]+$/.test(features) ? [`--enable-feature=${features}`] : []
  const agent = features.split(',').includes('agent') || flags['agent'] === 'true' ? ['--agent'] : []
  const findings = [await judge({ ...shared, name: 'configuration', args: [...featureArgs, 'check', 'config', ...agent, copy.configFile] })]
  const rules = copy.filesOf('rules')
  // The check of the configuration comes to the rules only where it has found nothing else.
  if (findings[0]?.level === 'fail' && rules.length > 0) findings.push(await judge({ ...shared, name: 'rules', args: [...featureArgs, 'check', 'rules', ...rules] }))
  const missing = copy.absent.filter(({ role, pattern }) => role !== 'credential' && !isGoPattern(pattern))
  for (const { key, pattern } of missing) findings.push({ name: 'named files', level: 'warn', detail: `${key} names ${pattern}, which was not there`, advice: 'correct it at its source' })
  const [web] = copy.filesOf('web')
  if (web === undefined) return findings
  const keyless = copy.absent.some(({ key, role }) => role === 'credential' && key.startsWith('tls_server_config.'))
  if (keyless) return [...findings, { name: 'web configuration', level: 'warn', detail: 'not checked: its certificates are not in the archive' }]
  return [...findings, await judge({ ...shared, name: 'web configuration', args: ['check', 'web-config', web] })]
}
