/** Controls (C0, DEL, C1) and the invisible characters that reorder or hide text on a terminal. */
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** A copy of a report whose strings cannot move a terminal's cursor or fake a line: repositories are hostile until checked. */
export function printable<T>(value: T): T {
  if (typeof value === 'string') return value.replace(unprintable, '\ufffd') as T
  if (Array.isArray(value)) return value.map(printable) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [printable(key), printable(inner)])) as T
}

/** As `printable`, for a message that may have lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** One JSON document and a newline; what a terminal would act on is escaped. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 2)
  return `${text.replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
}
