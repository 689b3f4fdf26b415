import { join } from 'node:path'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Component } from '../../components/component.ts'
import { PromDrError, messageOf } from '../../errors.ts'
import { type PackedArchive, packDirectory } from '../../packing/pack-directory.ts'
import { makePrivateDirectory, withPrivateScratch } from '../../packing/scratch-directory.ts'
import { readLocalFile } from '../../packing/unpack-archive.ts'
import { type WrittenFile, writeNewFile } from '../../packing/write-file.ts'
import type { Logger } from '../../system/logger.ts'
import type { FailedComponent } from './archives-report.ts'
import type { ComponentsContext, ConfiguredComponent } from './components-context.ts'
import { meanwhile } from '../meanwhile.ts'
import type { Stopwatch } from '../stopwatch.ts'

/** A component as it was collected: packed, and not stored yet. */
export interface CollectedComponent {
  component: Component
  /** Where its plain files lie. */
  directory: string
  packed: PackedArchive
  leftOut: { path: string; reason: string }[]
  /** Absent where it is stored in the clear. */
  recipients?: string[]
  /** What is stored of it: sealed when it is first asked for, once for all repositories. */
  stored(): Promise<WrittenFile>
}

/** What every repository is given. */
export interface Collection {
  collected: CollectedComponent[]
  failed: FailedComponent[]
  warnings: string[]
  /** What the components' own programs find wrong with it, in words: they judge it while it is stored, since it is stored whatever they say. */
  findings: Promise<string[]>
  /** For what may go to one repository at a time only: components' own tools make one snapshot after the other. */
  inTurn: LimitFunction
}

const collectedAtOnce = 4

/**
 * Collects and packs every component into a scratch directory that goes when `use` ends. One that fails does not stop the others.
 * @throws what `use` throws, INTERRUPTED
 */
export async function withCollection<T>(context: { components?: ComponentsContext | undefined; watch: Stopwatch; logger: Logger; signal: AbortSignal }, use: (collection: Collection) => Promise<T>): Promise<T> {
  const { components } = context
  const inTurn = pLimit(1)
  if (components === undefined || components.components.length === 0) return use({ collected: [], failed: [], warnings: [], findings: Promise.resolve([]), inTurn })
  return withPrivateScratch(components.scratch, async (directory) => {
    const collection = await context.watch.time('collect components', () => collectAll({ ...context, components }, directory))
    const judge = (signal: AbortSignal) => context.watch.time('check components', () => judgeAll(collection.collected, { ...context, signal }))
    return meanwhile(context.signal, judge, (findings) => use({ ...collection, findings, inTurn }))
  })
}

type WhatWasCollected = Pick<Collection, 'collected' | 'failed' | 'warnings'>

async function collectAll(context: { components: ComponentsContext; logger: Logger; signal: AbortSignal }, directory: string): Promise<WhatWasCollected> {
  const collection: WhatWasCollected = { collected: [], failed: [], warnings: [] }
  const limit = pLimit(collectedAtOnce)
  await Promise.all(context.components.components.map((configured) => limit(() => collectInto(collection, { ...context, configured, directory }))))
  context.signal.throwIfAborted()
  collection.collected.sort((a, b) => (a.component.name < b.component.name ? -1 : 1))
  return collection
}

interface CollectRequest {
  components: ComponentsContext
  configured: ConfiguredComponent
  directory: string
  logger: Logger
  signal: AbortSignal
}

async function collectInto(collection: WhatWasCollected, request: CollectRequest): Promise<void> {
  const { component, asked } = request.configured
  const { name, kind } = component
  try {
    const { collected, warnings } = await collectOne(request)
    collection.collected.push(collected)
    collection.warnings.push(...warnings.map((warning) => `${name}: ${warning}`))
  } catch (error) {
    // The caller tells of the interruption.
    if (request.signal.aborted) return
    if (!(error instanceof PromDrError)) request.logger.error({ component: name, error }, 'a component failed in a way that it does not name')
    if (asked) collection.failed.push({ component: name, kind, error: failureOf(error) })
    else collection.warnings.push(`${name} was left out: ${messageOf(error)}${error instanceof PromDrError && error.hint !== undefined ? ` (${error.hint})` : ''}`)
  }
}

async function collectOne({ components, configured: { component }, directory, signal }: CollectRequest): Promise<{ collected: CollectedComponent; warnings: string[] }> {
  const { encryption } = components
  const files = await makePrivateDirectory(join(directory, component.name))
  const { leftOut, warnings } = await component.collect(files, { secrets: encryption !== undefined, signal })
  const packed = await packDirectory(files, { path: join(directory, `${component.name}.tar.gz`), signal })
  let sealed: Promise<WrittenFile> | undefined
  const collected: CollectedComponent = {
    component, directory: files, packed, leftOut,
    ...(encryption !== undefined && { recipients: [...encryption.recipients] }),
    stored() {
      if (encryption === undefined) return Promise.resolve(packed.file)
      sealed ??= writeNewFile(`${packed.file.path}.age`, encryption.encrypt(readLocalFile(packed.file.path)))
      return sealed
    },
  }
  return { collected, warnings }
}

async function judgeAll(collected: readonly CollectedComponent[], context: { logger: Logger; signal: AbortSignal }): Promise<string[]> {
  const limit = pLimit(collectedAtOnce)
  return (await Promise.all(collected.map((one) => limit(() => judgeOne(one, context))))).flat()
}

async function judgeOne({ component, directory }: CollectedComponent, { logger, signal }: { logger: Logger; signal: AbortSignal }): Promise<string[]> {
  try {
    const found = (await component.check(directory, { signal })).filter(({ level }) => level !== 'ok')
    return found.map(({ detail, advice }) => `${component.name}: ${advice === undefined ? detail : `${detail} (${advice})`}`)
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PromDrError)) logger.error({ component: component.name, error }, 'a component could not be checked, in a way that it does not name')
    return [`${component.name} could not be checked: ${messageOf(error)}`]
  }
}

export function failureOf(error: unknown): FailedComponent['error'] {
  const hint = error instanceof PromDrError ? error.hint : undefined
  return { code: error instanceof PromDrError ? error.code : 'INTERNAL', message: messageOf(error), ...(hint !== undefined && { hint }) }
}
