import { createTwoFilesPatch } from 'diff'
import type { ArchivedFileChange } from './show-archives-report.ts'

/** Beyond this much text two files are compared by their digests alone. */
const mostTextBytes = 4 * 1024 * 1024
/** Two texts that have hardly a line in common are not worth the search. */
const mostEdits = 20_000

/** One file of a component on either side; undefined where it is not there. */
export interface ComparedFile {
  sha256: string
  mode: number
  bytes: Buffer
}

/** How a file changed, as a unified diff where both sides are text; JSON is laid out first, one value a line. */
export function describeChange(path: string, before: ComparedFile | undefined, after: ComparedFile | undefined): ArchivedFileChange {
  const change: ArchivedFileChange = {
    path,
    change: before === undefined ? 'added' : after === undefined ? 'removed' : before.sha256 === after.sha256 ? 'mode' : 'changed',
    before: before === undefined ? null : { sha256: before.sha256, sizeBytes: before.bytes.byteLength, mode: before.mode },
    after: after === undefined ? null : { sha256: after.sha256, sizeBytes: after.bytes.byteLength, mode: after.mode },
    diff: null,
  }
  if (change.change === 'mode') return change
  const [old, new_] = [textOf(path, before?.bytes), textOf(path, after?.bytes)]
  if (old === undefined || new_ === undefined) return change
  const patch = createTwoFilesPatch(before === undefined ? '/dev/null' : `a/${path}`, after === undefined ? '/dev/null' : `b/${path}`, old, new_, undefined, undefined, { context: 3, maxEditLength: mostEdits })
  // Without the line that separates several patches from each other.
  return { ...change, diff: patch === undefined ? null : patch.replace(/^=+\n/, '').trimEnd().split('\n') }
}

/** Undefined for what is no text; empty for what is not there. */
function textOf(path: string, bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined) return ''
  if (bytes.byteLength > mostTextBytes || bytes.includes(0)) return undefined
  const text = bytes.toString('utf8')
  if (!Buffer.from(text).equals(bytes)) return undefined
  return path.endsWith('.json') ? laidOut(text) : text
}

function laidOut(text: string): string {
  try {
    return `${JSON.stringify(JSON.parse(text), undefined, 2)}\n`
  } catch (error) {
    if (error instanceof SyntaxError) return text
    throw error
  }
}
