import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Layout } from './layout.ts'
import { type Role, readConfiguration } from './references.ts'
import { type LocatedReference, locate } from './survey.ts'

const parsedRoles: readonly Role[] = ['config', 'web', 'scrapes']

/** Paths in the archive of the files that name others. */
export function namingFiles(layout: Layout): string[] {
  return Object.keys(layout.files).filter((path) => parsedRoles.includes(layout.files[path]?.role as Role))
}

/** What an archived file names, by the paths that it meant where it was archived. @throws COMPONENT_FAILED when it is no YAML */
export async function referencesIn(directory: string, layout: Layout, archivePath: string): Promise<{ text: string; references: LocatedReference[] }> {
  const text = await readFile(join(directory, archivePath), 'utf8')
  const { configDir, knownAs } = layout
  const alias = knownAs === undefined ? undefined : { here: configDir, there: knownAs }
  return { text, references: locate(readConfiguration(text, archivePath).references, layout.files[archivePath]?.path ?? configDir, alias) }
}
