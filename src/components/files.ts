import { PromDrError } from '../errors.ts'
import { isReadable } from '../system/readable.ts'
import { restoredBy } from './answers.ts'
import { collectTree } from './collect-tree.ts'
import type { Component, Finding, RestoredComponent } from './component.ts'
import { type PathPattern, pathsOf } from './path-patterns.ts'
import { placeTree } from './place-tree.ts'
import { readLayout } from './tree-layout.ts'

export interface FilesSettings {
  name: string
  /** Default: `files`. */
  kind?: string
  /** Absolute: files, directories, patterns. */
  paths: readonly PathPattern[]
  /** Judges files that lie below a directory as they lie below `/`. */
  check?: (directory: string, options: { signal: AbortSignal }) => Promise<Finding[]>
  /** Called after something was put in place. @returns what was done */
  reload?: (options: { signal: AbortSignal }) => Promise<Pick<RestoredComponent, 'actions' | 'warnings'>>
  now: () => Date
}

/** Files and directories by their paths. */
export function createFilesComponent({ name, kind = 'files', paths, check, reload, now }: FilesSettings): Component {
  const judge = async (directory: string, options: { signal: AbortSignal }): Promise<Finding[]> => {
    const { owners, links } = await readLayout(directory)
    const count = Object.keys(owners).length + Object.keys(links).length
    return [{ name: 'files', level: 'ok', detail: `${count} file${count === 1 ? '' : 's'}` }, ...((await check?.(directory, options)) ?? [])]
  }
  return {
    name,
    kind,
    async discover() {
      return Promise.all(paths.map(async (pattern): Promise<Finding> => {
        const found = await pathsOf(pattern)
        const unreadable = (await Promise.all(found.map(async (path) => ((await isReadable(path)) ? [] : [path])))).flat()
        if (found.length === 0) return { name: pattern, level: 'warn', detail: 'matches nothing', advice: 'correct the path, or leave it out' }
        if (unreadable.length === 0) return { name: pattern, level: 'ok', detail: `${found.length === 1 ? 'is' : `${found.length} are`} readable` }
        return { name: pattern, level: 'fail', detail: `cannot be read: ${unreadable.slice(0, 3).join(', ')}`, advice: 'is it there, and may this user read it?' }
      }))
    },
    collect: (into, options) => collectTree(into, paths, options),
    check: judge,
    async restore(from, { dryRun, force, signal }) {
      const broken = force ? undefined : (await judge(from, { signal })).find(({ level }) => level === 'fail')
      if (broken !== undefined) throw new PromDrError('COMPONENT_REFUSED', `${name}: ${broken.detail}`, { hint: broken.advice ?? 'nothing was changed; --force installs it all the same' })
      const restored = await placeTree(from, { patterns: paths, dryRun, now: now(), signal })
      if (dryRun || restored.actions.length === 0 || reload === undefined) return restored
      try {
        return restoredBy(restored, await reload({ signal }))
      } catch (error) {
        if (!(error instanceof PromDrError) || error.code === 'INTERRUPTED') throw error
        return restoredBy(restored, { warnings: [`the files are in place, but they were not taken over: ${error.message}`] })
      }
    },
  }
}
