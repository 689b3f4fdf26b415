import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { expectGolden } from '../support/golden.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { start } from './launcher.ts'
import { runInProcess } from './terminal.ts'

async function scriptFile(shell: string): Promise<{ directory: string; file: string }> {
  const directory = await temporaryDirectory()
  const file = join(directory, `completion.${shell}`)
  await writeFile(file, (await runInProcess(['completion', shell])).stdout)
  await writeFile(join(directory, 'settings.yml'), '')
  return { directory, file }
}

test.each(['bash', 'zsh', 'fish'])('the script for %s is the same for the same commands', async (shell) => {
  const { code, stdout } = await runInProcess(['completion', shell])
  expect(code).toBe(0)
  await expectGolden(`completion/prom-dr.${shell}`, stdout)
})

/** What is offered for the last word of a line, in every shell. */
const cases: [line: string, offered: string[]][] = [
  ['prom-dr ba', ['backup']],
  ['prom-dr --json res', ['restore']],
  ['prom-dr --config settings.yml ver', ['verify']],
  ['prom-dr backup --hea', ['--head']],
  ['prom-dr backup --head a', ['always', 'auto']],
  ['prom-dr backup --head never --ado', ['--adopt']],
  ['prom-dr backup --log-level d', ['debug']],
  ['prom-dr restore --disaster-at now --start', ['--start']],
  ['prom-dr list --config sett', ['settings.yml']],
  ['prom-dr completion z', ['zsh']],
]

describe('bash', () => {
  test('offers commands, options, their values and files', async (context) => {
    needPrograms(context, 'bash')
    const { directory, file } = await scriptFile('bash')
    for (const [line, offered] of cases) {
      const words = line.split(' ')
      const program = `source ${file}; COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; $(complete -p prom-dr | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' "\${COMPREPLY[@]}"`
      const { stdout, stderr } = await start(['bash', '--norc', '-c', program], { cwd: directory }).ended
      expect({ line, offered: stdout.trim().split('\n').toSorted(), stderr }).toEqual({ line, offered, stderr: '' })
    }
  })

  test('offers nothing for a value that only the user knows', async (context) => {
    needPrograms(context, 'bash')
    const { directory, file } = await scriptFile('bash')
    const program = `source ${file}; COMP_WORDS=(prom-dr restore --at ''); COMP_CWORD=3; _prom_dr; echo "\${#COMPREPLY[@]}"`
    expect((await start(['bash', '--norc', '-c', program], { cwd: directory }).ended).stdout).toBe('0\n')
  })
})

describe('fish', () => {
  test('offers commands, options, their values and files', async (context) => {
    needPrograms(context, 'fish')
    const { directory, file } = await scriptFile('fish')
    for (const [line, offered] of cases) {
      const { stdout, stderr } = await start(['fish', '--no-config', '-c', `source ${file}; complete -C '${line}'`], { cwd: directory, env: { HOME: directory } }).ended
      const words = stdout.trim().split('\n').map((word) => word.split('\t')[0] ?? '')
      expect({ line, offered: words.toSorted(), stderr }).toEqual({ line, offered, stderr: '' })
    }
  })
})

describe('zsh', () => {
  test('completes what has one answer at the touch of a key', async (context) => {
    needPrograms(context, 'zsh')
    const { directory, file } = await scriptFile('zsh')
    for (const [line, offered] of cases.filter(([, words]) => words.length === 1)) {
      const typed = `${line}\\t\\x01print -r -- \\x05 > answer; exit\\n`
      const program = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "cd ${directory}; bindkey -e; autoload -Uz compinit; compinit -u -D; source ${file}; PS1=REA''DY"
zpty -r shell output '*READY*'
zpty -w -n shell $'${typed}'
while zpty -r shell output; do :; done
`
      await start(['zsh', '-f', '-c', program], { cwd: directory, env: { HOME: directory } }).ended
      const expected = [...line.split(' ').slice(0, -1), ...offered].join(' ')
      expect((await readFile(join(directory, 'answer'), 'utf8')).trim()).toBe(expected)
    }
  })
})
