import { mkdir, mkdtemp, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Writes files by their paths below a directory. */
export async function writeFiles(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), text)
  }
}

/** The texts of all files below a directory, by their paths, sorted; what restores moved aside is left out unless asked for. */
export async function readFiles(directory: string, options: { aside?: boolean } = {}): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
  const wanted = paths.filter((path) => options.aside === true || !path.includes('.prom-dr-replaced-')).sort()
  return Object.fromEntries(await Promise.all(wanted.map(async (path) => [path, await readFile(join(directory, path), 'utf8')] as const)))
}

/** A rule file with one alert that always fires, and one recording rule. */
export function ruleFile(name: string, labels: Readonly<Record<string, string>> = {}): string {
  const rules = [
    { alert: `Always_${name}`, expr: 'vector(1)', labels: { ...labels, from: name }, annotations: { summary: `of ${name}` } },
    { record: `recorded:${name}`, expr: 'vector(42)' },
  ]
  return JSON.stringify({ groups: [{ name, interval: '1s', rules }] })
}

/** An empty directory below another one: where `collect` fills in. */
export function emptyDirectory(parent: string): Promise<string> {
  return mkdtemp(join(parent, 'collected-'))
}
