import { copyFile, lstat, mkdir, readFile, readdir, readlink, realpath, stat, writeFile, chmod } from 'node:fs/promises'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { PromDrError, systemCode } from '../errors.ts'
import { ifThere } from '../system/if-there.ts'
import type { Collected } from './component.ts'
import { ownerOf } from './owner.ts'
import { type PathPattern, isNamedBy, pathsOf } from './path-patterns.ts'
import { isLeftByRestore } from './placing/restore-names.ts'
import { layoutFile, layoutText } from './tree-layout.ts'

export interface CollectTreeOptions {
  /** Private keys may be in it. */
  secrets: boolean
  signal: AbortSignal
  /** Takes files that cannot simply be copied, such as databases in use. Default: copies. */
  copy?: (source: string, destination: string) => Promise<void>
}

interface Collection extends CollectTreeOptions {
  into: string
  patterns: readonly PathPattern[]
  owners: Record<string, string>
  links: Record<string, string>
  leftOut: Collected['leftOut']
  warnings: string[]
  seen: Set<string>
}

const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/
const searchedBytes = 1024 * 1024
const absent = ['ENOENT', 'ENOTDIR', 'ELOOP']

/**
 * Copies what the patterns name, directories with all that is below them, to the same paths below `into`. Links within what is named
 * stay links; of those that lead elsewhere the content is taken.
 * @throws COMPONENT_FAILED when nothing is there
 */
export async function collectTree(into: string, patterns: readonly PathPattern[], options: CollectTreeOptions): Promise<Collected> {
  const collection: Collection = { ...options, into, patterns, owners: {}, links: {}, leftOut: [], warnings: [], seen: new Set() }
  for (const pattern of patterns) {
    const before = collection.seen.size
    for (const path of await pathsOf(pattern)) await take(collection, path)
    if (collection.seen.size === before) collection.warnings.push(`${pattern}: there is nothing`)
  }
  if (Object.keys(collection.owners).length === 0) {
    throw new PromDrError('COMPONENT_FAILED', `nothing to archive in ${patterns.join(', ')}${collection.leftOut.map(({ path, reason }) => `; ${path} ${reason}`).join('')}`, { hint: 'are these the right paths, and may this user read them?' })
  }
  await writeFile(join(into, layoutFile), layoutText(collection), { mode: 0o600 })
  return { leftOut: collection.leftOut, warnings: collection.warnings }
}

async function take(collection: Collection, path: string): Promise<void> {
  collection.signal.throwIfAborted()
  if (collection.seen.has(path) || path.split('/').some(isLeftByRestore)) return
  const stats = await ifThere(lstat(path), absent)
  if (stats === undefined) return
  collection.seen.add(path)
  if (stats.isDirectory()) return takeDirectory(collection, path)
  if (stats.isSymbolicLink()) return takeLink(collection, path)
  if (stats.isFile()) return takeFile(collection, path, path)
  collection.leftOut.push({ path, reason: 'is neither a file nor a directory' })
}

async function takeDirectory(collection: Collection, path: string): Promise<void> {
  const names = await readable(collection, path, () => readdir(path))
  for (const name of (names ?? []).sort()) await take(collection, join(path, name))
}

async function takeLink(collection: Collection, path: string): Promise<void> {
  const target = await readlink(path)
  const absolute = isAbsolute(target) ? target : resolve(dirname(path), target)
  if (isNamedBy(collection.patterns, absolute)) {
    collection.links[path.slice(1)] = target
    return
  }
  const real = await ifThere(realpath(path), absent)
  if (real === undefined) return void collection.leftOut.push({ path, reason: `is a link to ${target}, which is not there` })
  if ((await stat(real)).isFile()) return takeFile(collection, path, real)
  collection.leftOut.push({ path, reason: `is a link to ${target}, outside of what is named: name it too` })
}

async function takeFile(collection: Collection, path: string, source: string): Promise<void> {
  if (!collection.secrets && (await readable(collection, path, () => holdsPrivateKey(source))) !== false) {
    if (!collection.leftOut.some((left) => left.path === path)) collection.leftOut.push({ path, reason: 'holds a private key: archives are not encrypted' })
    return
  }
  const copy = join(collection.into, path)
  await mkdir(dirname(copy), { recursive: true, mode: 0o700 })
  const stats = await readable(collection, path, async () => {
    await (collection.copy ?? copyFile)(source, copy)
    return stat(source)
  })
  if (stats === undefined) return
  await chmod(copy, stats.mode & 0o777)
  collection.owners[path.slice(1)] = await ownerOf(stats)
}

async function holdsPrivateKey(path: string): Promise<boolean> {
  const { size } = await stat(path)
  // Keys stand in small files.
  return size <= searchedBytes && privateKey.test(await readFile(path, 'latin1'))
}

/** Undefined, and noted, for what this user may not read. */
async function readable<T>(collection: Collection, path: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (!['EACCES', 'EPERM', 'ENOENT'].includes(systemCode(error) ?? '')) throw error
    collection.leftOut.push({ path, reason: systemCode(error) === 'ENOENT' ? 'went away while it was read' : 'cannot be read by this user' })
    return undefined
  }
}
