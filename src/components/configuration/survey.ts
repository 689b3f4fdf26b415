import { readFile, stat } from 'node:fs/promises'
import { dirname, posix } from 'node:path'
import { PromDrError, systemCode } from '../../errors.ts'
import { isGoPattern, pathsMatching } from './go-glob.ts'
import { type ReadConfiguration, type Reference, type Role, readConfiguration } from './references.ts'

/** A reference with its pattern made absolute, as the server does: from the directory of the file that it stands in. */
export interface LocatedReference extends Reference {
  pattern: string
}

export interface SurveyedFile {
  path: string
  role: Role
}

export interface Survey {
  /** In the order in which they were found, each once; credentials last where another role names them too. */
  files: SurveyedFile[]
  references: LocatedReference[]
  warnings: string[]
  /** Files that hold secrets themselves, and where. */
  secrets: { path: string; keys: { key: string; line: number }[] }[]
}

const parsedRoles: readonly Role[] = ['config', 'web', 'scrapes']
/** What a configuration file may be. */
const largestFileBytes = 64 * 1024 * 1024

/** A server in a container knows the directory of its configuration, and what is below it, by another path. */
export interface KnownAs {
  here: string
  there: string
}

/** Follows the files that configuration files name, to the end. @throws COMPONENT_FAILED when the first one cannot be read or is no YAML */
export async function surveyFiles(roots: readonly SurveyedFile[], knownAs?: KnownAs): Promise<Survey> {
  const survey: Survey = { files: [], references: [], warnings: [], secrets: [] }
  const queue: (SurveyedFile & { reference?: LocatedReference })[] = [...roots]
  const seen = new Set<string>()
  for (const { path, role, reference } of queue) {
    if (seen.has(path)) continue
    seen.add(path)
    const problem = await whyNoFile(path)
    if (problem !== undefined) {
      if (role === 'config') throw new PromDrError('COMPONENT_FAILED', `${path} ${problem}`, { hint: 'is it the path on this machine? otherwise give it in the component\'s configFile' })
      survey.warnings.push(reference === undefined ? `${path} ${problem}` : `${reference.key} names ${path}, which ${problem}`)
      continue
    }
    survey.files.push({ path, role })
    if (!parsedRoles.includes(role)) continue
    const read = await parse(path, role, survey.warnings)
    if (read === undefined) continue
    if (read.secrets.length > 0) survey.secrets.push({ path, keys: read.secrets })
    for (const found of locate(read.references, path, knownAs)) {
      survey.references.push(found)
      const isLiteral = found.role === 'credential' || !isGoPattern(found.pattern)
      const paths = isLiteral ? [found.pattern] : await pathsMatching(found.pattern)
      queue.push(...paths.map((match) => ({ path: match, role: found.role, reference: found })))
    }
  }
  return survey
}

/** The references of a text, as if it stood in the file `path`. */
export function locate(references: readonly Reference[], path: string, knownAs?: KnownAs): LocatedReference[] {
  return references.map((reference) => ({ ...reference, pattern: asKnownHere(posix.resolve(dirname(path), reference.value), knownAs) }))
}

function asKnownHere(path: string, knownAs: KnownAs | undefined): string {
  return knownAs !== undefined && path.startsWith(`${knownAs.there}/`) ? `${knownAs.here}${path.slice(knownAs.there.length)}` : path
}

async function parse(path: string, role: Role, warnings: string[]): Promise<ReadConfiguration | undefined> {
  try {
    return readConfiguration(await readFile(path, 'utf8'), path)
  } catch (error) {
    if (role === 'config' || !(error instanceof PromDrError)) throw error
    warnings.push(error.message)
    return undefined
  }
}

async function whyNoFile(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path)
    if (!stats.isFile()) return 'is no file'
    return stats.size > largestFileBytes ? `is larger than ${largestFileBytes} bytes` : undefined
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return 'is not there'
    if (code === 'EACCES') return 'may not be read by this user'
    throw error
  }
}
