import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemCode } from '../../errors.ts'
import type { Collected } from '../component.ts'
import { ownerOf } from '../owner.ts'
import { type Layout, archivePathOf, layoutName, layoutText } from './layout.ts'
import { type KnownAs, type Survey, type SurveyedFile, surveyFiles } from './survey.ts'

export interface CollectConfigurationOptions {
  /** The first is the one that the server is started with. */
  roots: readonly SurveyedFile[]
  knownAs?: KnownAs
  /** Names at the top of the archive that are ours. */
  reserved: readonly string[]
  /** Credentials may be in the archive. */
  secrets: boolean
  /** More for the layout. */
  layout?: Pick<Layout, 'stateOwner'>
  signal: AbortSignal
}

/**
 * Copies a configuration and everything that it names into the archive's directory, with a layout that says where it was.
 * @throws COMPONENT_FAILED when the configuration file cannot be read
 */
export async function collectConfiguration(into: string, options: CollectConfigurationOptions): Promise<Collected> {
  const { roots, secrets, signal } = options
  const configDir = dirname((roots[0] as SurveyedFile).path)
  const survey = await surveyFiles(roots, options.knownAs)
  const collected: Collected = { leftOut: [], warnings: [...survey.warnings] }
  const files: Layout['files'] = {}
  for (const { path, role } of survey.files) {
    signal.throwIfAborted()
    if (role === 'credential' && !secrets) {
      collected.leftOut.push({ path, reason: 'credentials and certificates are archived only where archives are encrypted (encryption.recipients)' })
      continue
    }
    const archivePath = archivePathOf(path, configDir, [...options.reserved, layoutName])
    const copied = await copyInto(join(into, archivePath), path)
    if (copied) files[archivePath] = { path, role, owner: await ownerOf(await stat(path)) }
    else collected.leftOut.push({ path, reason: 'cannot be read by this user' })
  }
  if (!secrets) collected.warnings.push(...inlineSecrets(survey))
  const text = layoutText({ configDir, ...(options.knownAs && { knownAs: options.knownAs.there }), owner: await ownerOf(await stat(configDir)), files, leftOut: collected.leftOut, ...options.layout })
  await writeFile(join(into, layoutName), text, { mode: 0o600 })
  return collected
}

/** False when this user may not read it. */
async function copyInto(copy: string, path: string): Promise<boolean> {
  try {
    const [bytes, { mode }] = [await readFile(path), await stat(path)]
    await mkdir(dirname(copy), { recursive: true, mode: 0o700 })
    await writeFile(copy, bytes, { flag: 'wx', mode: 0o600 })
    await chmod(copy, mode & 0o777)
    return true
  } catch (error) {
    if (systemCode(error) === 'EACCES') return false
    throw error
  }
}

function inlineSecrets({ secrets }: Survey): string[] {
  return secrets.map(({ path, keys }) => {
    const shown = keys.slice(0, 3).map(({ key, line }) => `${key} in line ${line}`)
    const more = keys.length > 3 ? ` and ${keys.length - 3} more` : ''
    return `${path} holds secrets, and archives are not encrypted: ${shown.join(', ')}${more}; set encryption.recipients, or name files instead (…_file)`
  })
}
