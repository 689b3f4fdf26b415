import { lstat, readdir } from 'node:fs/promises'
import { join, posix, relative } from 'node:path'
import { z } from 'zod'
import { PromDrError } from '../../errors.ts'
import { inNameOrder, readArchivedJson } from '../archived-json.ts'
import type { Collected } from '../component.ts'

/*
 * How the files of a configuration lie in an archive: those below the configuration's directory by their path from there, so that
 * relative paths in them go on being right, all others below `absolute/` by their absolute path.
 */

export const layoutName = 'layout.json'
export const outsideName = 'absolute'

const roles = ['config', 'web', 'rules', 'scrapes', 'targets', 'templates', 'credential'] as const

const layoutSchema = z.object({
  version: z.literal(1, 'another version: use a newer prom-dr'),
  configDir: z.string().startsWith('/', 'must be absolute'),
  /** The same directory as the server calls it, where that is another path. */
  knownAs: z.string().startsWith('/', 'must be absolute').optional(),
  /** `user:group` of the directory. */
  owner: z.string(),
  /** By path in the archive. The one with the role `config` is what the server is started with. */
  files: z.record(z.string(), z.object({ path: z.string().startsWith('/', 'must be absolute'), role: z.enum(roles), owner: z.string() })),
  leftOut: z.array(z.object({ path: z.string(), reason: z.string() })),
  /** `user:group` of the directory that the state lay in. */
  stateOwner: z.string().optional(),
})
export type Layout = z.infer<typeof layoutSchema>

/** Of the server's own files, by their absolute path there. `reserved` are names at the top of the archive that are ours. */
export function archivePathOf(path: string, configDir: string, reserved: readonly string[]): string {
  const below = relative(configDir, path)
  const inside = below !== '' && below !== '..' && !below.startsWith('../')
  return inside && !reserved.includes(below.split('/')[0] as string) ? below : join(outsideName, path)
}

/** Where a file of an archive belongs on a machine whose configuration lies in `configDir`. */
export function placeOf(archivePath: string, layout: Layout, configDir: string): string {
  if (!archivePath.startsWith(`${outsideName}/`)) return join(configDir, archivePath)
  return movedTo(posix.resolve('/', archivePath.slice(outsideName.length + 1)), layout, configDir)
}

/** What was below the configuration's directory there is below the one here. */
export function movedTo(path: string, layout: Pick<Layout, 'configDir'>, configDir: string): string {
  const below = relative(layout.configDir, path)
  return below === '..' || below.startsWith('../') ? path : join(configDir, below)
}

export function configOf(layout: Layout): string {
  const found = Object.entries(layout.files).find(([, { role }]) => role === 'config')
  if (found === undefined) throw damaged('names no configuration file')
  return found[0]
}

/** The archive's own account of itself, sorted, so that what has not changed gives the same bytes. */
export function layoutText(layout: Omit<Layout, 'version'>): string {
  const leftOut = [...layout.leftOut].sort((a, b) => (a.path < b.path ? -1 : 1))
  return `${JSON.stringify({ version: 1, ...layout, files: inNameOrder(layout.files), leftOut } satisfies Layout & { leftOut: Collected['leftOut'] }, null, 2)}\n`
}

/** @throws DAMAGED when there is none, or it and the files that lie there are not of one piece */
export async function readLayout(directory: string, others: readonly string[]): Promise<Layout> {
  const layout = await readArchivedJson(directory, layoutName, layoutSchema)
  if (layout === undefined) throw damaged('is missing')
  const there = (await plainFilesBelow(directory)).filter((path) => path !== layoutName && !others.includes(path))
  const unnamed = there.find((path) => !Object.hasOwn(layout.files, path))
  if (unnamed !== undefined) throw damaged(`does not name ${JSON.stringify(unnamed)}`)
  const present = new Set(there)
  const absent = Object.keys(layout.files).find((path) => !present.has(path))
  if (absent !== undefined) throw damaged(`names ${JSON.stringify(absent)}, which is not in the archive`)
  return layout
}

/** Paths of files below a directory, relative to it, sorted. @throws DAMAGED for anything that is neither a file nor a directory */
export async function plainFilesBelow(directory: string, prefix = ''): Promise<string[]> {
  const found: string[] = []
  for (const name of await readdir(join(directory, prefix))) {
    const path = join(prefix, name)
    const stats = await lstat(join(directory, path))
    if (stats.isDirectory()) found.push(...(await plainFilesBelow(directory, path)))
    else if (stats.isFile()) found.push(path)
    else throw new PromDrError('DAMAGED', `${path} in the archive is neither a file nor a directory`, { hint: 'prom-dr does not archive such things: do not trust this archive' })
  }
  return found.sort()
}

function damaged(what: string): PromDrError {
  return new PromDrError('DAMAGED', `the archive's ${layoutName} ${what}`, { hint: 'restore another recovery point, or take single files out with "prom-dr show <id> --cat"' })
}
