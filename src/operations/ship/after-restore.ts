import type { Generation } from '../../repository/wal-stream.ts'
import type { RestoredNote } from '../../tsdb/restore-directory.ts'

/** How the first generation of a server that was restored begins, `generations` being those of the repository. What its log had until then is no gap. */
export function afterRestore(note: RestoredNote, generations: readonly Generation[]): { reason: string; parent: Generation['parent']; newestSampleMs: null } {
  const { recoverableAt, restoredAt, recoveryPoint } = note
  const generation = restoredFrom(note, generations)
  const parent = generation === undefined || recoverableAt === null ? null : { generation, at: Date.parse(recoverableAt), restoredAt: Date.parse(restoredAt), recoveryPoint }
  return { reason: 'this server was restored', parent, newestSampleMs: null }
}

/**
 * The generation that was restored, by its name here: every repository names its own, so that what was restored from another one is the
 * generation in which the same server was shipped at that moment. Without a log it is the newest; undefined where there was none by then.
 */
function restoredFrom({ generation, server, recoverableAt, restoredAt }: RestoredNote, generations: readonly Generation[]): string | undefined {
  const before = generations.filter(({ startedAt }) => startedAt <= Date.parse(restoredAt))
  if (generation === undefined || before.length === 0) return before.at(-1)?.id
  if (before.some(({ id }) => id === generation)) return generation
  const sameServer = before.filter(({ machineId, dataDir }) => machineId === server?.machineId && dataDir === server.dataDir)
  const then = sameServer.filter(({ startedAt }) => startedAt <= Date.parse(recoverableAt ?? restoredAt)).at(-1)
  return (then ?? sameServer[0])?.id ?? generation
}
