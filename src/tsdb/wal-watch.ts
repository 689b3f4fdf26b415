import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'
import type { WalLog } from '../domain/wal-stream.ts'
import { systemCode } from '../errors.ts'

export interface LogWatch {
  /** True when something happened in the log since it was last asked. */
  takeChange(): boolean
  /** True when a file came or went since it was last asked. */
  takeArrival(): boolean
  /** Calls back at each event, which may come many times a second. `arrival`: a file came or went. */
  onChange: ((arrival: boolean) => void) | undefined
  /** False when the file system tells of nothing: then it has to be looked at again and again. */
  readonly works: boolean
  /** It was silent about something that was seen: it is not believed any more. */
  distrust(): void
  close(): void
}

/**
 * Watches the directory of a log. A directory that is not there, a file system that cannot be watched and too many watchers on the
 * machine are no errors: `works` says so.
 */
export function watchLog(dataDir: string, log: WalLog): LogWatch {
  let changed = false
  let arrived = false
  let watcher: FSWatcher | undefined
  const end = () => {
    watcher?.close()
    watcher = undefined
  }
  try {
    watcher = watch(join(dataDir, log), { persistent: false }, (event) => {
      const arrival = event === 'rename'
      changed = true
      arrived ||= arrival
      logWatch.onChange?.(arrival)
    })
    watcher.on('error', end)
  } catch (error) {
    if (systemCode(error) === undefined) throw error
  }
  const logWatch: LogWatch = {
    takeChange: () => {
      const was = changed
      changed = false
      return was
    },
    takeArrival: () => {
      const was = arrived
      arrived = false
      return was
    },
    onChange: undefined,
    get works() {
      return watcher !== undefined
    },
    distrust: end,
    close: end,
  }
  return logWatch
}
