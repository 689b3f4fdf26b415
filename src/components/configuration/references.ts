import { LineCounter, type Node, type Pair, type Scalar, isMap, isScalar, isSeq, parseDocument } from 'yaml'
import { PromDrError } from '../../errors.ts'

/** What a file is to the configuration that names it. */
export type Role = 'config' | 'web' | 'rules' | 'scrapes' | 'targets' | 'templates' | 'credential'

/** A path or pattern in a configuration. */
export interface Reference {
  role: Role
  value: string
  /** Such as `scrape_configs.0.basic_auth.password_file`. */
  key: string
  /** Where the scalar stands in the text, quotes included: characters [start, end). */
  start: number
  end: number
}

export interface ReadConfiguration {
  references: Reference[]
  /** Keys, with their lines, that hold secrets themselves. */
  secrets: { key: string; line: number }[]
}

/** Lists of patterns by their place; everything else is found by how its key is named. */
const patternLists: Readonly<Record<string, Role>> = { rule_files: 'rules', scrape_config_files: 'scrapes', templates: 'templates' }
/** Keys under which the names are the user's own. */
const freeForm = new Set(['external_labels', 'labels', 'annotations', 'params', 'details', 'custom_fields', 'matchers', 'match', 'match_re', 'source_match', 'target_match'])
/** Files that the server writes. */
const outputs = new Set(['query_log_file', 'scrape_failure_log_file'])
const secretKey = /(^|_)(password|secret|secret_key|token|credentials|api_key|routing_key|service_key|user_key)$/
const secretUrls = new Set(['slack_api_url', 'webhook_url'])

/**
 * What a configuration of Prometheus or Alertmanager names on the file system, and the secrets in it. Both programs call every file they
 * read `…_file`, but for lists of patterns, `file_sd_configs[].files` and `http_headers.*.files`, so that keys of later versions are
 * found too.
 * @throws COMPONENT_FAILED when it is no YAML mapping
 */
export function readConfiguration(text: string, name: string): ReadConfiguration {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, version: '1.1', merge: true, uniqueKeys: false, logLevel: 'silent' })
  const [problem] = document.errors
  if (problem !== undefined) throw notYaml(name, problem.message.split('\n')[0] ?? '', problem)
  if (document.contents !== null && !isMap(document.contents)) throw notYaml(name, 'it is no mapping')
  const found: ReadConfiguration = { references: [], secrets: [] }
  if (document.contents !== null) visit(document.contents, [], { found, lineOf: (offset) => lines.linePos(offset).line })
  return found
}

interface Visit {
  found: ReadConfiguration
  lineOf(offset: number): number
}

function visit(node: unknown, path: readonly string[], context: Visit): void {
  if (isMap(node)) for (const pair of node.items) visitPair(pair as Pair<Node, Node | null>, path, context)
  else if (isSeq(node)) node.items.forEach((item, index) => visit(item, [...path, String(index)], context))
  else if (isScalar(node)) visitScalar(node, path, context)
}

function visitPair(pair: Pair<Node, Node | null>, path: readonly string[], context: Visit): void {
  const key = isScalar(pair.key) ? String(pair.key.value) : ''
  const below = [...path, key]
  if (key === 'basic_auth_users') return void context.found.secrets.push({ key: below.join('.'), line: context.lineOf(pair.key.range?.[0] ?? 0) })
  if (!freeForm.has(key)) visit(pair.value, below, context)
}

function visitScalar(node: Scalar, path: readonly string[], { found, lineOf }: Visit): void {
  const { value, range } = node
  if (typeof value !== 'string' || value === '' || range === null || range === undefined) return
  const key = path.join('.')
  const role = roleOf(path)
  if (role !== undefined) found.references.push({ role, value, key, start: range[0], end: range[1] })
  else if (isSecret(path, value)) found.secrets.push({ key, line: lineOf(range[0]) })
}

function roleOf(path: readonly string[]): Role | undefined {
  const last = path.at(-1) as string
  if (path.length === 2) {
    const role = patternLists[path[0] as string]
    if (role !== undefined) return role
  }
  if (path.at(-2) === 'files' && path.at(-4) === 'file_sd_configs') return 'targets'
  if (path.at(-2) === 'files' && path.at(-4) === 'http_headers') return 'credential'
  return last.endsWith('_file') && !outputs.has(last) ? 'credential' : undefined
}

function isSecret(path: readonly string[], value: string): boolean {
  const last = path.at(-1) as string
  if (secretKey.test(last) || secretUrls.has(last)) return true
  if (last === 'key' && path.at(-2)?.endsWith('tls_config')) return true
  if (last === 'api_url' && path.includes('slack_configs')) return true
  if (path.at(-2) === 'secrets' && path.at(-4) === 'http_headers') return true
  return /^[a-z][a-z0-9+.-]*:\/\/[^/@\s]*:[^/@\s]+@/i.test(value)
}

function notYaml(name: string, why: string, cause?: unknown): PromDrError {
  return new PromDrError('COMPONENT_FAILED', `${name} cannot be read as YAML: ${why}`, { hint: 'the server would refuse it too: correct it, or restore an older recovery point', cause })
}
