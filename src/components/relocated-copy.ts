import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { isUtf8 } from 'node:buffer'
import { dirname, join } from 'node:path'
import { ifThere } from '../system/if-there.ts'
import { filesBelow } from './place-tree.ts'
import { layoutFile } from './tree-layout.ts'

const rewrittenBytes = 4 * 1024 * 1024

/**
 * Runs `look` on a copy of collected files in which absolute paths that lie in the collection are those of the copy: a program then
 * judges the files that were archived, not those that happen to be on this machine. The copy is private, lies beside the collection
 * so that it goes with it where this process is killed, and goes afterwards.
 */
export async function withRelocatedCopy<T>(directory: string, look: (copy: string) => Promise<T>): Promise<T> {
  const copy = await mkdtemp(join(dirname(directory), '.prom-dr-check-'))
  try {
    await cp(directory, copy, { recursive: true, verbatimSymlinks: true })
    const paths = (await filesBelow(copy, '')).filter((path) => path !== layoutFile)
    const roots = [...new Set(paths.map((path) => `/${path.split('/').slice(0, 2).join('/')}`))]
    for (const path of paths) await relocate(join(copy, path), copy, roots)
    return await look(copy)
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

/** Of `/etc/nginx/conf.d/*.conf` the part before the pattern has to be there. */
async function relocate(path: string, copy: string, roots: readonly string[]): Promise<void> {
  if ((await stat(path)).size > rewrittenBytes) return
  const bytes = await readFile(path)
  if (!isUtf8(bytes)) return
  const text = bytes.toString('utf8')
  const mentioned = new Set([...text.matchAll(/(?<![\w.-])\/[\w./*?[\]{}@+-]+/g)].map(([match]) => match).filter((match) => roots.some((root) => match.startsWith(root))))
  let relocated = text
  for (const match of [...mentioned].sort((a, b) => b.length - a.length)) {
    const literal = match.split('/').filter((_, index, parts) => !parts.slice(0, index + 1).some((part) => /[*?[{]/.test(part))).join('/')
    if ((await ifThere(stat(join(copy, literal)), ['ENOENT', 'ENOTDIR'])) !== undefined) relocated = relocated.replaceAll(new RegExp(`(?<![\\w./-])${escaped(match)}(?![\\w./-])`, 'g'), join(copy, match))
  }
  if (relocated !== text) await writeFile(path, relocated)
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}
