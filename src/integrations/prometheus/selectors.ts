import type { LabelMatcher } from './prometheus-api.ts'

/** `{job="node",mode!~"a|b"}`: a series selector of the query API. The text is never spliced into a larger query. */
export function selectorOf(matchers: readonly LabelMatcher[]): string {
  return `{${matchers.map(({ name, type, value }) => `${labelName(name)}${type}${quoted(value)}`).join(',')}}`
}

/** Names beyond the classic set (UTF-8 names of 3.x) are quoted. */
function labelName(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : quoted(name)
}

/** PromQL's double-quoted strings take Go's escapes, which JSON's are a part of but for the escaped solidus and surrogates. */
function quoted(value: string): string {
  const escaped = value.replace(/[\\"\u0000-\u001f\u007f]/g, (character) => {
    if (character === '\\' || character === '"') return `\\${character}`
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
  return `"${escaped}"`
}
