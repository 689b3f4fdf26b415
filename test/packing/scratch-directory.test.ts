import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ScratchOwner, withPrivateScratch } from '../../src/packing/scratch-directory.ts'
import { isDeadHere, thisProcess } from '../../src/system/machine.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const self = thisProcess()
const isDead = (owner: ScratchOwner) => isDeadHere(owner, self)

/** A process of this machine that is certainly gone. */
async function deadProcess(): Promise<ScratchOwner> {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  return { ...self, pid: child.pid as number, processStart: '1' }
}

async function leave(parent: string, name: string, owner: ScratchOwner | undefined): Promise<string> {
  const path = join(parent, name)
  await mkdir(path)
  if (owner !== undefined) await writeFile(join(path, 'owner.json'), JSON.stringify(owner))
  return path
}

describe('a scratch directory', () => {
  test('is for its user alone, and gone afterwards, also after a failure', async () => {
    const parent = await temporaryDirectory()
    const failure = new Error('it failed')
    await expect(withPrivateScratch({ parent, self, isDead }, async (directory) => {
      expect((await stat(directory)).mode & 0o777).toBe(0o700)
      expect((await stat(join(directory, '..'))).mode & 0o777).toBe(0o700)
      await writeFile(join(directory, 'secret'), 'x')
      throw failure
    })).rejects.toBe(failure)
    expect(await withPrivateScratch({ parent, self, isDead }, async (directory) => (await readdir(directory)).length)).toBe(0)
    expect(await readdir(parent)).toEqual([])
  })

  test('of a run that was killed is removed by the next one; those of live runs and of others stay', async () => {
    const parent = await temporaryDirectory()
    const dead = await deadProcess()
    await writeFile(join(await leave(parent, 'prom-dr-scratch-dead', dead), 'secret'), 'x')
    await leave(parent, 'prom-dr-scratch-alive', self)
    await leave(parent, 'prom-dr-scratch-elsewhere', { ...dead, machineId: 'other' })
    await leave(parent, 'something-else', dead)
    await symlink(await leave(parent, 'real', dead), join(parent, 'prom-dr-scratch-link'))
    const hour = 3_600_000
    const longAgo = (Date.now() - 2 * hour) / 1000
    await utimes(await leave(parent, 'prom-dr-scratch-empty-old', undefined), longAgo, longAgo)
    await leave(parent, 'prom-dr-scratch-empty-young', undefined)
    for (const [name, time] of [['old', longAgo], ['young', Date.now() / 1000]] as const) {
      const begun = await leave(parent, `prom-dr-scratch-begun-${name}`, undefined)
      await writeFile(join(begun, 'owner.json'), '')
      await utimes(begun, time, time)
    }
    const full = await leave(parent, 'prom-dr-scratch-nameless', undefined)
    await writeFile(join(full, 'data'), 'x')
    await utimes(full, longAgo, longAgo)
    await withPrivateScratch({ parent, self, isDead }, async () => undefined)
    expect((await readdir(parent)).sort()).toEqual(['prom-dr-scratch-alive', 'prom-dr-scratch-begun-young', 'prom-dr-scratch-elsewhere', 'prom-dr-scratch-empty-young', 'prom-dr-scratch-link', 'prom-dr-scratch-nameless', 'real', 'something-else'])
  })

  test('is not made where there is no directory for it, and the answer says where', async () => {
    const parent = join(await temporaryDirectory(), 'missing')
    await expect(withPrivateScratch({ parent, self, isDead }, async () => undefined)).rejects.toMatchObject({ code: 'FILE_SYSTEM', message: expect.stringContaining(parent) })
  })
})
