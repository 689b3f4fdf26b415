import { readFile } from 'node:fs/promises'
import { PromDrError } from '../../errors.ts'
import { createHttpClient, urlForPeople } from '../../system/http-client.ts'

export interface VictoriaMetricsConnection {
  url: string
  /** Holds the `-snapshotAuthKey`. */
  authKeyFile?: string
  timeoutMs?: number
}

/** The part of VictoriaMetrics' HTTP API that a backup needs. @throws COMPONENT_FAILED with what it answered */
export interface VictoriaMetricsApi {
  /** For people. */
  readonly url: string
  version(options?: { signal?: AbortSignal }): Promise<string>
  /** @returns the snapshot's name, a single path segment */
  createSnapshot(options?: { signal?: AbortSignal }): Promise<string>
  listSnapshots(options?: { signal?: AbortSignal }): Promise<string[]>
  deleteSnapshot(name: string, options?: { signal?: AbortSignal }): Promise<void>
  close(): void
}

export function createVictoriaMetricsApi({ url: address, authKeyFile, timeoutMs }: VictoriaMetricsConnection): VictoriaMetricsApi {
  const base = address.replace(/\/+$/, '')
  const url = urlForPeople(base)
  const client = createHttpClient({
    ...(timeoutMs !== undefined && { timeoutMs }),
    failures: { service: 'VictoriaMetrics', unreachable: 'COMPONENT_FAILED', badResponse: 'COMPONENT_FAILED', unreachableHint: 'is it running, and is victoriametrics.url right?' },
  })
  const ask = async (path: string, { query = {}, signal }: { query?: Record<string, string>; signal?: AbortSignal | undefined }) => {
    const authKey = authKeyFile === undefined ? '' : (await readFile(authKeyFile, 'utf8')).trim()
    const parameters = new URLSearchParams({ ...query, ...(authKey !== '' && { authKey }) }).toString()
    const response = await client.request({ url: `${base}${path}${parameters === '' ? '' : `?${parameters}`}`, ...(signal !== undefined && { signal }) })
    if (response.status === 200) return response.body.toString('utf8')
    const said = response.body.toString('utf8').slice(0, 300).trim()
    // It repeats a key that is wrong.
    const masked = authKey === '' ? said : said.replaceAll(authKey, '***')
    throw new PromDrError('COMPONENT_FAILED', `VictoriaMetrics at ${url} answered ${path} with ${response.status}: ${masked}`, { hint: /authKey/.test(said) ? 'give its -snapshotAuthKey in authKeyFile' : 'see its log' })
  }
  const snapshotCall = async (path: string, options: { query?: Record<string, string>; signal?: AbortSignal | undefined }) => {
    const text = await ask(path, options)
    const answer = jsonOf(text)
    if (answer?.status === 'ok') return answer
    throw new PromDrError('COMPONENT_FAILED', `VictoriaMetrics at ${url} answered ${path} with ${text.slice(0, 200)}`, { hint: 'see its log' })
  }
  return {
    url,
    close: () => client.close(),
    version: async ({ signal } = {}) => /vm_app_version\{[^}]*version="([^"]*)"/.exec(await ask('/metrics', { signal }))?.[1] || 'of unknown version',
    createSnapshot: async ({ signal } = {}) => checkedName((await snapshotCall('/snapshot/create', { signal })).snapshot, url),
    listSnapshots: async ({ signal } = {}) => ((await snapshotCall('/snapshot/list', { signal })).snapshots ?? []).map((name) => checkedName(name, url)),
    deleteSnapshot: async (name, { signal } = {}) => void (await snapshotCall('/snapshot/delete', { query: { snapshot: name }, signal })),
  }
}

interface SnapshotAnswer {
  status?: string
  snapshot?: unknown
  snapshots?: unknown[] | null
}

function jsonOf(text: string): SnapshotAnswer | undefined {
  try {
    return JSON.parse(text) as SnapshotAnswer
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** It becomes part of a path. */
function checkedName(name: unknown, url: string): string {
  if (typeof name === 'string' && /^[0-9A-Za-z]+-[0-9A-Za-z]+$/.test(name)) return name
  throw new PromDrError('COMPONENT_FAILED', `VictoriaMetrics at ${url} named a snapshot ${JSON.stringify(name)}, which is no snapshot's name`)
}
