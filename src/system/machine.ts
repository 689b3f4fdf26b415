import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { systemCode } from '../errors.ts'

/** A process of some machine, so that another run can tell whether it still lives. */
export interface ProcessIdentity {
  /** Digest of the machine's own id: tells machines apart without giving the id away. */
  machineId: string
  /** Changes at each boot. */
  bootId: string
  hostname: string
  pid: number
  /** Start of the process in clock ticks since boot: a pid that is used again has another. */
  processStart: string
}

/** Who this process is. Hosts without /etc/machine-id (containers) are told apart by their names. */
export function thisProcess(): ProcessIdentity {
  const machine = firstFile(['/etc/machine-id', '/var/lib/dbus/machine-id']) ?? `host:${hostname()}`
  return {
    machineId: createHash('sha256').update(`prom-dr:${machine}`).digest('hex').slice(0, 32),
    bootId: firstFile(['/proc/sys/kernel/random/boot_id']) ?? 'unknown',
    hostname: hostname(),
    pid: process.pid,
    processStart: processStart(process.pid) ?? 'unknown',
  }
}

/** True only when the process was on this machine and is certainly gone: rebooted since, or its pid is free or another's. */
export function isDeadHere(other: ProcessIdentity, self: ProcessIdentity = thisProcess()): boolean {
  if (other.machineId !== self.machineId || other.hostname !== self.hostname) return false
  if (other.bootId !== self.bootId) return other.bootId !== 'unknown' && self.bootId !== 'unknown'
  return processStart(other.pid) !== other.processStart
}

/** Names of a user and a group from /etc/passwd and /etc/group; null where they have none. */
export async function ownerNames(uid: number, gid: number): Promise<{ user: string | null; group: string | null }> {
  const [users, groups] = await Promise.all([accounts('/etc/passwd'), accounts('/etc/group')])
  return { user: nameOf(users, uid), group: nameOf(groups, gid) }
}

/** The numbers of `user[:group]`, names or numbers; undefined for a name that this machine does not know. A user without a group has its own. */
export async function ownerNumbers(owner: string): Promise<{ uid: number; gid: number } | undefined> {
  const [user = '', group] = owner.split(':')
  const users = await accounts('/etc/passwd')
  const account = users.find((entry) => entry[0] === user || (/^\d+$/.test(user) && entry[2] === user))
  const uid = /^\d+$/.test(user) ? Number(user) : Number(account?.[2] ?? Number.NaN)
  let gid = Number(account?.[3] ?? Number.NaN)
  if (group !== undefined) {
    gid = /^\d+$/.test(group) ? Number(group) : Number((await accounts('/etc/group')).find((entry) => entry[0] === group)?.[2] ?? Number.NaN)
  } else if (Number.isNaN(gid) && /^\d+$/.test(user)) gid = uid
  return Number.isNaN(uid) || Number.isNaN(gid) ? undefined : { uid, gid }
}

function nameOf(entries: string[][], id: number): string | null {
  return entries.find((entry) => entry[2] === String(id))?.[0] ?? null
}

async function accounts(path: string): Promise<string[][]> {
  try {
    return (await readFile(path, 'utf8')).split('\n').map((line) => line.split(':'))
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

function firstFile(paths: string[]): string | undefined {
  for (const path of paths) {
    const text = readText(path)?.trim()
    if (text !== undefined && text !== '') return text
  }
  return undefined
}

/** Field 22 of /proc/<pid>/stat, counted after the command's closing parenthesis; undefined when there is no such process. */
function processStart(pid: number): string | undefined {
  const text = readText(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19]
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(systemCode(error) ?? '')) return undefined
    throw error
  }
}
