import { join } from 'node:path'
import { expect, test } from 'vitest'
import { filesFindings } from '../../../src/components/configuration/discover-files.ts'
import { surveyFiles } from '../../../src/components/configuration/survey.ts'
import { writeFiles } from '../../support/configuration-files.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'

test.each([[0, 'and 0 files that it names'], [1, 'and 1 file that it names'], [2, 'and 2 files that it names']])('a configuration that names %i files is told of as people count', async (named, said) => {
  const directory = await temporaryDirectory('configuration')
  const configFile = join(directory, 'prometheus.yml')
  const rules = ['a.rules', 'b.rules'].slice(0, named)
  await writeFiles(directory, { 'prometheus.yml': 'rule_files: ["*.rules"]\n', ...Object.fromEntries(rules.map((name) => [name, 'groups: []\n'])) })
  const findings = await filesFindings(configFile, await surveyFiles([{ path: configFile, role: 'config' }]))
  expect(findings[0]).toEqual({ name: 'configuration', level: 'ok', detail: `${configFile}, ${said}` })
})
