import { open } from 'node:fs/promises'
import { readIndexToc } from './check-file.ts'
import { dataFileError, onDataFile } from './file-errors.ts'
import { visitSeries } from './index-series.ts'
import { damagedAt } from './stream-checker.ts'

export type IndexLabels = [name: string, value: string][]

/** Length and number of the symbols come before them, a checksum after. */
const symbolsHeaderBytes = 8
const checksumBytes = 4

/**
 * The labels of some series of a block's index, by their references (Prometheus, tsdb/docs/format/index.md). Its checksums are left to
 * IndexChecker. Undefined for an index of version 1, whose symbols are named otherwise. References that it does not have are left out.
 * @throws DAMAGED, DATA_DIR_UNREADABLE, the signal's reason
 */
export async function labelsOfSeries(indexPath: string, refs: ReadonlySet<number>, options: { signal?: AbortSignal | undefined } = {}): Promise<Map<number, IndexLabels> | undefined> {
  if ((await indexVersion(indexPath)) === 1) return undefined
  const named = new Map<number, number[]>()
  await visitSeries(indexPath, ({ ref, labels }) => {
    if (refs.has(ref)) named.set(ref, labels())
  }, options)
  const symbols = await readSymbols(indexPath, new Set([...named.values()].flat()))
  const found = new Map<number, IndexLabels>()
  for (const [ref, numbers] of named) {
    const labels: IndexLabels = []
    for (let at = 0; at + 1 < numbers.length; at += 2) {
      const [name, value] = [symbols.get(numbers[at] ?? -1), symbols.get(numbers[at + 1] ?? -1)]
      if (name === undefined || value === undefined) throw damagedAt(indexPath, 0, `series ${ref} has a label that is no symbol`)
      labels.push([name, value])
    }
    found.set(ref, labels)
  }
  return found
}

/**
 * The references of the series of a block's index that have these labels, which are in the order of their names; undefined for one that the
 * block has not. Nothing is found in an index of version 1. @throws as `labelsOfSeries`
 */
export async function refsOfLabels(indexPath: string, wanted: readonly IndexLabels[], options: { signal?: AbortSignal | undefined } = {}): Promise<(number | undefined)[]> {
  if ((await indexVersion(indexPath)) === 1) return wanted.map(() => undefined)
  const texts = new Set(wanted.flat(2))
  const numbers = new Map<string, number>()
  await visitSymbols(indexPath, (number, text) => {
    const symbol = text()
    if (texts.has(symbol)) numbers.set(symbol, number)
  })
  const keys = wanted.map((labels) => labels.flat().map((text) => numbers.get(text) ?? '').join())
  const found = new Map<string, number | undefined>(keys.map((key) => [key, undefined]))
  await visitSeries(indexPath, ({ ref, labels }) => {
    const key = labels().join()
    if (found.has(key)) found.set(key, ref)
  }, options)
  return keys.map((key) => found.get(key))
}

async function indexVersion(indexPath: string): Promise<number> {
  const handle = await onDataFile(indexPath, open(indexPath, 'r'))
  try {
    return (await handle.read(Buffer.alloc(1), 0, 1, 4)).buffer[0] ?? 0
  } finally {
    await handle.close()
  }
}

/** By their numbers, those that are wanted. */
async function readSymbols(indexPath: string, wanted: ReadonlySet<number>): Promise<Map<number, string>> {
  const symbols = new Map<number, string>()
  await visitSymbols(indexPath, (number, text) => {
    if (wanted.has(number)) symbols.set(number, text())
  })
  return symbols
}

async function visitSymbols(indexPath: string, visit: (number: number, text: () => string) => void): Promise<void> {
  const region = (await readIndexToc(indexPath)).regions.find(({ name }) => name === 'symbol table')
  if (region === undefined) return
  const handle = await onDataFile(indexPath, open(indexPath, 'r'))
  try {
    const bytes = Buffer.alloc(region.end - region.start)
    await handle.read(bytes, 0, bytes.length, region.start)
    const count = bytes.readUInt32BE(4)
    const end = bytes.length - checksumBytes
    for (let number = 0, at = symbolsHeaderBytes; number < count; number += 1) {
      let length = 0
      for (let scale = 1; ; scale *= 128) {
        const byte = bytes[at++] ?? 0
        length += (byte & 127) * scale
        if (byte < 128) break
      }
      const start = at
      at += length
      if (at > end) throw damagedAt(indexPath, region.start + start, 'a symbol reaches beyond the symbol table')
      visit(number, () => bytes.toString('utf8', start, start + length))
    }
  } catch (error) {
    throw dataFileError(error, indexPath)
  } finally {
    await handle.close()
  }
}
