import { realpath } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { hasCode, systemCode } from '../../errors.ts'
import { matchesGoPattern } from './go-glob.ts'
import { type KnownAs, type LocatedReference, surveyFiles } from './survey.ts'

/**
 * Where a restore may write: what this machine's own settings and configuration name, whatever an archive says. Judged by real paths, so
 * that a link in a directory that others may write to leads nowhere.
 */
export interface Places {
  allow(path: string): Promise<boolean>
}

export interface PlaceSources {
  configFile: string
  knownAs?: KnownAs | undefined
  /** Named by the settings, with all that is below them. */
  directories: readonly string[]
  /** Named by settings or flags. */
  files: readonly string[]
  /** What a running server's configuration names. */
  references: readonly LocatedReference[]
}

/** Directories that many programs share: a configuration file there does not open them. */
const shared = new Set(['/', '/etc', '/etc/default', '/usr', '/usr/local', '/usr/local/etc', '/opt', '/srv', '/var', '/var/lib', '/home', '/root', '/tmp', '/var/tmp', '/run', '/mnt', '/data', '/boot', '/lib', '/bin', '/sbin', '/dev', '/proc', '/sys'])

export async function placesOf(sources: PlaceSources): Promise<Places> {
  const own = dirname(await realPathOf(sources.configFile))
  const configDir = dirname(sources.configFile)
  const local = await localReferences(sources)
  const directories = await Promise.all([...sources.directories, ...[configDir, own].filter((path) => !shared.has(path))].map(realPathOf))
  const files = await Promise.all([sources.configFile, ...sources.files].map(placeOf))
  const patterns = await Promise.all([...local, ...sources.references].map(({ pattern }) => placeOf(pattern)))
  return {
    allow: async (path) => {
      const real = await placeOf(path)
      return files.includes(real) || directories.some((directory) => real.startsWith(directory === sep ? sep : directory + sep)) || patterns.some((pattern) => matchesGoPattern(pattern, real))
    },
  }
}

/** A configuration that is lost or broken names nothing. */
async function localReferences({ configFile, knownAs }: PlaceSources): Promise<LocatedReference[]> {
  try {
    return (await surveyFiles([{ path: configFile, role: 'config' }], knownAs)).references
  } catch (error) {
    if (hasCode(error, 'COMPONENT_FAILED')) return []
    throw error
  }
}

/** The path with its directory's links followed; the last name is what is replaced, link or not. */
async function placeOf(path: string): Promise<string> {
  return join(await realPathOf(dirname(path)), basename(path))
}

/** Followed as far as it is there. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'].includes(systemCode(error) ?? '') || path === dirname(path)) return path
    return join(await realPathOf(dirname(path)), basename(path))
  }
}
