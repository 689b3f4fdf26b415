import { basename, dirname, join } from 'node:path'

const replacedPrefix = '.prom-dr-replaced-'
const newSuffix = '.prom-dr-new'

/** Where files that a restore replaces go: a directory that no program's `*` takes for configuration. */
export function replacedName(now: Date): string {
  return `${replacedPrefix}${compactTime(now)}`
}

/** `20261121T030000Z` */
export function compactTime(time: Date): string {
  return time.toISOString().replace(/[-:]|\.\d+/g, '')
}

/** Where a file is written before it gets its name: hidden, so that no program's `*` finds it either. */
export function newNameOf(destination: string): string {
  return join(dirname(destination), `.${basename(destination)}${newSuffix}`)
}

/** Whether it is what a restore moved aside, or left when it was killed: neither is archived. */
export function isLeftByRestore(name: string): boolean {
  return name.startsWith(replacedPrefix) || (name.startsWith('.') && name.endsWith(newSuffix))
}
