import { join } from 'node:path'
import type { NamedArchive } from '../../domain/archive.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { makePrivateDirectory, withPrivateScratch } from '../../packing/scratch-directory.ts'
import { readWholeFile } from '../../packing/write-file.ts'
import { type ComparedFile, describeChange } from './archive-diff.ts'
import type { ComponentsContext } from './components-context.ts'
import { withCurrentArchive } from './current-archive.ts'
import { readArchive } from './read-archive.ts'
import { newestPoint, outOfReach, readSources, requireInstance } from '../repository-sources.ts'
import type { ArchivedFileChange, DiffReport, DiffRequest, ShowFileRequest, ShownFile } from './show-archives-report.ts'
import type { ShowContext } from '../report/show.ts'

export type ArchivesContext = ShowContext & { components: Pick<ComponentsContext, 'scratch' | 'opening'> }

/** What is handed out in one piece. */
const mostShownBytes = 256 * 1024 * 1024

interface Side {
  id: string
  instance: string
  createdAt: number
  archives: readonly NamedArchive[]
}

/** One file of an archive. @throws NO_RECOVERY_POINT, USAGE for a path that is not in it, KEY_MISSING, DAMAGED */
export async function showFile(context: ArchivesContext, request: ShowFileRequest): Promise<ShownFile> {
  const { side, read } = await openSide(context, { ...request, id: request.id })
  const [component = '', ...rest] = request.path.split('/')
  const path = rest.join('/')
  const archive = side.archives.find((candidate) => candidate.component === component)
  const file = archive?.files.find((candidate) => candidate.path === path)
  if (archive === undefined || file === undefined) throw notThere(side, { archive, path: request.path })
  if (file.sizeBytes > mostShownBytes) throw new PromDrError('COMPONENT_REFUSED', `${request.path} has ${formatByteSize(file.sizeBytes)}`, { hint: `bring it with: prom-dr restore --at ${side.id} --only ${component} --components-target DIR` })
  return withPrivateScratch(context.components.scratch, async (scratch) => {
    const content = await readWholeFile(join(await read(archive, scratch), path))
    return { recoveryPoint: side.id, component, path, sizeBytes: file.sizeBytes, mode: file.mode, sha256: file.sha256, content }
  })
}

/** What changed in the archives from one recovery point to another. Components that did not are not read. */
export async function diffArchives(context: ArchivesContext, request: DiffRequest): Promise<DiffReport> {
  const [from, to] = await Promise.all([openSide(context, { ...request, id: request.from }), openSide(context, { ...request, id: request.to })])
  const names = [...new Set([...from.side.archives, ...to.side.archives].map(({ component }) => component))].sort()
  return withPrivateScratch(context.components.scratch, async (scratch) => {
    const components: DiffReport['components'] = []
    for (const component of names) {
      const [before, after] = [from, to].map(({ side }) => side.archives.find((archive) => archive.component === component))
      if (before?.contentSha256 === after?.contentSha256) {
        components.push({ component, change: 'same', files: [] })
        continue
      }
      const oldDirectory = before && (await from.read(before, await makePrivateDirectory(join(scratch, `from-${component}`))))
      const newDirectory = after && (await to.read(after, await makePrivateDirectory(join(scratch, `to-${component}`))))
      const files = await compare({ archive: before, directory: oldDirectory }, { archive: after, directory: newDirectory })
      components.push({ component, change: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed', files })
    }
    const describe = ({ side }: { side: Side }) => ({ id: side.id, createdAt: new Date(side.createdAt).toISOString() })
    return { from: describe(from), to: describe(to), components }
  })
}

interface Unpacked {
  archive: NamedArchive | undefined
  directory: string | undefined
}

async function compare(before: Unpacked, after: Unpacked): Promise<ArchivedFileChange[]> {
  const changes: ArchivedFileChange[] = []
  const fileIn = ({ archive }: Unpacked, path: string) => archive?.files.find((file) => file.path === path)
  const paths = [...new Set([...(before.archive?.files ?? []), ...(after.archive?.files ?? [])].map(({ path }) => path))].sort()
  for (const path of paths) {
    const [old, new_] = [fileIn(before, path), fileIn(after, path)]
    if (old?.sha256 === new_?.sha256 && old?.mode === new_?.mode) continue
    changes.push(describeChange(path, await load(before, old), await load(after, new_)))
  }
  return changes
}

async function load({ directory }: Unpacked, file: NamedArchive['files'][number] | undefined): Promise<ComparedFile | undefined> {
  if (directory === undefined || file === undefined) return undefined
  return { sha256: file.sha256, mode: file.mode, bytes: await readWholeFile(join(directory, file.path)) }
}

/** A recovery point, and how its archives are read: from the first repository that has them whole. */
async function openSide(context: ArchivesContext, request: { id: string; instance?: string; repositories: string[] }) {
  const { signal } = context
  const latest = request.id === 'latest'
  const instance = request.instance ?? (latest ? context.instance : undefined)
  const sources = await readSources(context.repositories, { repositories: request.repositories, instance, signal })
  if (latest) await requireInstance(sources, instance as string, signal)
  const { point } = newestPoint(sources, latest ? (candidate) => candidate.instance === instance && candidate.archives.length > 0 : (candidate) => candidate.id === request.id, request.id)
  async function read(archive: NamedArchive, scratch: string): Promise<string> {
    let failure: PromDrError | undefined
    for (const [index, source] of sources.repositories.entries()) {
      if (!source.instances.some(({ points }) => points.some(({ id }) => id === point.id))) continue
      const into = await makePrivateDirectory(join(scratch, `files.${index}`))
      try {
        const { store } = source
        await withCurrentArchive({ store, instance: point.instance, recoveryPoint: point.id, archive, signal }, (current) => readArchive({ store, instance: point.instance, archive: current, opening: context.components.opening, scratch, into, signal }))
        return into
      } catch (error) {
        if (!hasCode(error, ...outOfReach)) throw error
        failure ??= error
      }
    }
    throw failure ?? new PromDrError('INTERNAL', `no repository has recovery point ${point.id}, though it was found in one`)
  }
  return { side: point as Side, read }
}

function notThere(side: Side, asked: { archive: NamedArchive | undefined; path: string }): PromDrError {
  const known = asked.archive === undefined ? side.archives.map(({ component }) => component) : asked.archive.files.slice(0, 5).map(({ path }) => `${asked.archive?.component}/${path}`)
  const hint = known.length === 0 ? 'it has no archives: "prom-dr list" shows which recovery points have' : `it has ${known.join(', ')}${asked.archive !== undefined && asked.archive.files.length > known.length ? '…' : ''}: "prom-dr show ${side.id} --files" lists all`
  return new PromDrError('USAGE', `recovery point ${side.id} has no ${JSON.stringify(asked.path)}`, { hint })
}
