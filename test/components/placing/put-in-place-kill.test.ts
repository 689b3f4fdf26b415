import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { putInPlace } from '../../../src/components/placing/put-in-place.ts'
import { readFiles, writeFiles } from '../../support/configuration-files.ts'
import { directoryRequest } from '../../support/directory-request.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { waitFor } from '../../support/wait-for.ts'

const runner = join(import.meta.dirname, '../../fixtures/put-in-place-runner.ts')
const count = 100
const obsolete = 20

const textOf = (age: string, index: number) => `${age} ${index}\n`.repeat(200)

async function rootOf(): Promise<string> {
  const root = await temporaryDirectory()
  const files = (age: string, total: number) => Object.fromEntries(Array.from({ length: total }, (_, index) => [`${index}.yml`, textOf(age, index)]))
  await writeFiles(join(root, 'new'), files('new', count))
  await writeFiles(join(root, 'etc'), files('old', count + obsolete))
  return root
}

const moments: [moment: string, hasCome: (etc: string) => Promise<boolean>][] = [
  ['while the new files are written', async (etc) => (await readdir(etc)).filter((name) => name.endsWith('.prom-dr-new')).length >= 40],
  ['while the old ones are copied aside', async (etc) => (await asideNames(etc)).length >= 20],
  ['between the renames', async (etc) => (await readFile(join(etc, '0.yml'), 'utf8')).startsWith('new')],
]

async function asideNames(etc: string): Promise<string[]> {
  const [aside] = (await readdir(etc)).filter((name) => name.startsWith('.prom-dr-replaced-'))
  return aside === undefined ? [] : readdir(join(etc, aside))
}

it.each(moments)('killed %s, a restore leaves every file whole, and the next one completes it', async (_moment, hasCome) => {
  const root = await rootOf()
  const etc = join(root, 'etc')
  const child = fork(runner, [root], { execArgv: ['--import', 'tsx'] })
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  try {
    await waitFor(() => hasCome(etc), { intervalMs: 1, what: 'the moment' })
  } finally {
    child.kill('SIGKILL')
  }
  expect(await ended).toEqual([null, 'SIGKILL'])
  const left = await readFiles(etc)
  // Nothing is replaced before all of it lies aside.
  const untouched = (await asideNames(etc)).length < count + obsolete
  if (untouched) expect(Object.entries(left).filter(([name]) => name.endsWith('.yml'))).toHaveLength(count + obsolete)
  for (let index = 0; index < count; index += 1) expect(untouched ? [textOf('old', index)] : [textOf('old', index), textOf('new', index)]).toContain(left[`${index}.yml`])

  await putInPlace(await directoryRequest(root))
  expect(await readFiles(etc)).toEqual(await readFiles(join(root, 'new')))
  const everything = new Set(Object.values(await readFiles(etc, { aside: true })))
  for (let index = 0; index < count + obsolete; index += 1) expect(everything.has(textOf('old', index))).toBe(true)
})
