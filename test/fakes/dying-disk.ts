import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const pathCalls = ['rename', 'rm', 'mkdir', 'chmod', 'chown'] as const
const handleCalls = ['write', 'writev', 'writeFile', 'sync', 'truncate'] as const

export interface DyingDisk {
  /** Names of the calls that changed something, in order. */
  readonly calls: string[]
  /** Undoes everything. */
  revive(): void
}

/**
 * From the n-th change of a file system on (counted from 1), every change of this process fails: what is on the disk then is
 * what a SIGKILL at that call would leave. Without `dieAt` the changes are only counted.
 */
export async function dyingDisk(dieAt = Number.POSITIVE_INFINITY): Promise<DyingDisk> {
  const calls: string[] = []
  const undo: (() => void)[] = []
  const wrap = (owner: Record<string, (...args: never[]) => Promise<unknown>>, name: string) => {
    const original = owner[name] as (...args: never[]) => Promise<unknown>
    owner[name] = async function (this: unknown, ...args: never[]) {
      calls.push(name)
      if (calls.length >= dieAt) throw new Error(`dead at ${name}, change ${calls.length}`)
      return original.apply(this, args)
    }
    undo.push(() => void (owner[name] = original))
  }
  const probe = await fs.promises.open(join(tmpdir(), `prom-dr-probe-${process.pid}`), 'w')
  const handle = Object.getPrototypeOf(probe)
  await probe.close()
  await fs.promises.rm(join(tmpdir(), `prom-dr-probe-${process.pid}`))
  for (const name of pathCalls) wrap(fs.promises as never, name)
  for (const name of handleCalls) wrap(handle, name)
  syncBuiltinESMExports()
  return {
    calls,
    revive() {
      for (const one of undo.splice(0)) one()
      syncBuiltinESMExports()
    },
  }
}
