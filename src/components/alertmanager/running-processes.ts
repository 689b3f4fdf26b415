import { readFile, readdir, readlink, realpath } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { ifThere } from '../../system/if-there.ts'

/** Where it keeps its state when nothing is said: upstream below its working directory, Debian's package in one place. */
const defaultPaths = ['data', '/var/lib/prometheus/alertmanager']

/**
 * Alertmanagers on this machine that keep their state in `dataDir`, as `name (pid n)`: it holds no file open, and would write over what is
 * put there. Known by their command lines; those in containers, or that this user may not look at, are not seen.
 */
export async function alertmanagersOn(dataDir: string): Promise<string[]> {
  const wanted = (await ifReadable(realpath(dataDir))) ?? dataDir
  const found: string[] = []
  for (const pid of (await ifReadable(readdir('/proc'))) ?? []) {
    if (!/^\d+$/.test(pid)) continue
    const argv = ((await ifReadable(readFile(join('/proc', pid, 'cmdline'), 'utf8'))) ?? '').split('\0')
    const name = basename(argv[0] ?? '')
    const cwd = name.includes('alertmanager') ? await ifReadable(readlink(join('/proc', pid, 'cwd'))) : undefined
    if (cwd === undefined) continue
    const paths = storagePaths(argv).map((path) => resolve(cwd, path))
    const real = await Promise.all(paths.map(async (path) => (await ifReadable(realpath(path))) ?? path))
    if (real.includes(wanted)) found.push(`${name} (pid ${pid})`)
  }
  return found
}

function storagePaths(argv: readonly string[]): readonly string[] {
  for (const [index, argument] of argv.entries()) {
    const match = /^--?storage\.path(?:=(.*))?$/s.exec(argument)
    if (match !== null) return [match[1] ?? argv[index + 1] ?? '']
  }
  return defaultPaths
}

/** Processes end while they are looked at, and others are not ours to look at. */
function ifReadable<T>(read: Promise<T>): Promise<T | undefined> {
  return ifThere(read, ['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EINVAL'])
}
