import { readFileSync, readdirSync } from 'node:fs'

/**
 * The command lines of all living processes whose environment has `mark` (say `MARK=<uuid>`): children inherit it, so that
 * whatever a test's program left behind is found, however it was detached.
 */
export function processesMarked(mark: string): { pid: number; command: string }[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  return pids.flatMap((pid) => {
    const environment = readProc(pid, 'environ')
    if (!environment.split('\0').includes(mark)) return []
    return [{ pid: Number(pid), command: readProc(pid, 'cmdline').replaceAll('\0', ' ').trim() }]
  })
}

/** A process that ends while it is looked at has no files any more; one of another user is not ours. */
function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}
