import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createPrometheusApi } from '../../src/integrations/prometheus/http-prometheus-api.ts'
import { archive } from '../../src/operations/components/archive.ts'
import type { ArchiveReport } from '../../src/operations/components/archive-report.ts'
import type { NamedStore } from '../../src/operations/backup/backup-context.ts'
import type { ComponentsContext } from '../../src/operations/components/components-context.ts'
import { readOrCreateFormat } from '../../src/repository/format.ts'
import { claimInstance } from '../../src/repository/identity.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { isDeadHere, ownerNames, thisProcess } from '../../src/system/machine.ts'

export { writeFiles as writeTree } from './configuration-files.ts'

const self = thisProcess()
/** Nobody listens on the port of tcpmux: archives are made without a server. */
const prometheus = createPrometheusApi({ url: 'http://127.0.0.1:1' })

/** A repository that this machine wrote to before, as `archive` needs where there is no server. */
export async function knownRepository(store: ObjectStore = createMemoryStore()): Promise<ObjectStore> {
  await readOrCreateFormat(store, new Date(), {})
  await claimInstance(store, 'prom-a', { identity: { machineId: self.machineId, hostname: self.hostname, dataDir: '/data', externalLabels: { replica: 'a' } }, adopt: false })
  return store
}

export function makeArchive(stores: ObjectStore | readonly NamedStore[], components: ComponentsContext, more: { signal?: AbortSignal; self?: typeof self } = {}): Promise<ArchiveReport> {
  const repositories = 'url' in stores ? [{ name: 'primary', store: stores }] : stores
  return archive({
    instance: 'prom-a', prometheus, repositories: async () => repositories, components, self: more.self ?? self, ownerNames, isDead: (other) => isDeadHere(other, self), timezone: 'UTC',
    clock: systemClock, logger: silentLogger, signal: more.signal ?? new AbortController().signal, dataDir: undefined,
  }, { adopt: false, repositories: [] })
}

/** Paths and texts of everything below it; empty where there is nothing. */
export async function treeOf(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort()
  return Object.fromEntries(await Promise.all(paths.map(async (path) => [path.slice(directory.length + 1), await readFile(path, 'utf8')] as const)))
}
