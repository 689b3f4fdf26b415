import type { Style } from '../output.ts'

export interface Column {
  title: string
  right?: boolean
}

/** A cell, or a cell with the colour it gets after it was padded. */
export type Cell = string | { text: string; paint: (text: string) => string }

/** Columns two spaces apart, titles on top. */
export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[], style: Style): string {
  const textOf = (cell: Cell | undefined) => (cell === undefined ? '' : typeof cell === 'string' ? cell : cell.text)
  const widths = columns.map((column, index) => Math.max(column.title.length, ...rows.map((row) => textOf(row[index]).length)))
  const line = (cells: readonly Cell[]) =>
    cells
      .map((cell, index) => {
        const text = textOf(cell)
        const last = index === columns.length - 1
        const padded = columns[index]?.right ? text.padStart(widths[index] ?? 0) : last ? text : text.padEnd(widths[index] ?? 0)
        return typeof cell === 'string' ? padded : cell.paint(padded)
      })
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => ({ text: column.title, paint: style.bold }))), ...rows.map(line)].join('\n')
}

/** Lines of `name  value`, indented; undefined values are left out. */
export function facts(entries: readonly (readonly [name: string, value: string | undefined])[], style: Style): string {
  const given = entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined)
  const width = Math.max(0, ...given.map(([name]) => name.length))
  return given.map(([name, value]) => `  ${style.dim(name.padEnd(width))}  ${value}`).join('\n')
}

export function warnings(texts: readonly string[], style: Style): string {
  return texts.map((text) => `${style.yellow('warning:')} ${text}`).join('\n')
}

/** Repositories that were not in reach, as a warning each. */
export function unreachableRepositories(repositories: readonly { repository: string; url: string; message: string }[], style: Style): string {
  return warnings(repositories.map(({ repository, url, message }) => `repository ${repository} (${url}) was not read: ${message}`), style)
}

/** An object and what is wrong with it; a reason that names its object again is shortened. */
export function damageLine({ repository, key, reason }: { repository: string; key: string; reason: string }, style: Style): string {
  const own = [`${key} is damaged: `, `${key}: `].find((prefix) => reason.startsWith(prefix)) ?? ''
  return `${style.red('damaged:')} ${repository}: ${key}: ${reason.slice(own.length)}`
}

/** The parts that are there, a blank line apart. */
export function paragraphs(...parts: (string | undefined | false)[]): string {
  return parts.filter((part) => part !== undefined && part !== false && part !== '').join('\n\n')
}

/** `snapshot 200 ms, upload 3.1 s` from stages, with the formatter given. */
export function stagesLine(stages: readonly { name: string; durationMs: number }[], format: (ms: number) => string): string {
  return stages.map((stage) => `${stage.name} ${format(stage.durationMs)}`).join(', ')
}
