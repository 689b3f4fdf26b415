import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { escapeGoPattern, matchesGoPattern, pathsMatching } from '../../../src/components/configuration/go-glob.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

describe('patterns as Go has them', () => {
  // Of the table in path/filepath/match_test.go.
  it.each<[pattern: string, path: string, matches: boolean]>([
    ['abc', 'abc', true],
    ['*', 'abc', true],
    ['*c', 'abc', true],
    ['a*', 'ab/c', false],
    ['a*/b', 'a/c/b', false],
    ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
    ['a*b?c*x', 'abxbbxdbxebxczzy', false],
    ['ab[c]', 'abc', true],
    ['ab[b-d]', 'abc', true],
    ['ab[e-g]', 'abc', false],
    ['ab[^c]', 'abc', false],
    ['ab[^e-g]', 'abc', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'ab', false],
    ['a?b', 'a☺b', true],
    ['a???b', 'a☺b', false],
    ['a?b', 'a/b', false],
    ['[\\]a]', ']', true],
    ['[\\-x]', '-', true],
    ['[x\\-]', 'z', false],
    ['[-]', '-', false],
    ['[x-]', 'x', false],
    ['[-x]', 'x', false],
    ['[c-a]', 'b', false],
    ['[^c-a]', 'b', true],
    ['[a-b-c]', 'a', false],
    ['[]a]', ']', false],
    ['a[', 'a', false],
    ['*x', 'xxx', true],
    ['{a,b}', 'a', false],
    ['{a,b}', '{a,b}', true],
    ['*', '.hidden', true],
    ['**/b', 'a/x/b', false],
  ])('%s and %s', (pattern, path, matches) => {
    expect(matchesGoPattern(pattern, path)).toBe(matches)
  })

  it('find files in directories that patterns name, sorted, and nothing where there is nothing', async () => {
    const root = await temporaryDirectory()
    for (const path of ['r1/b.yml', 'r1/a.yml', 'r2/.c.yml', 'r2/deep/d.yml', 'odd[1].yml']) {
      await mkdir(dirname(join(root, path)), { recursive: true })
      await writeFile(join(root, path), '')
    }
    const found = async (pattern: string) => (await pathsMatching(join(root, pattern))).map((path) => path.slice(root.length + 1))
    expect(await found('r?/*.yml')).toEqual(['r1/a.yml', 'r1/b.yml', 'r2/.c.yml'])
    expect(await found('r1/a.yml')).toEqual(['r1/a.yml'])
    expect(await found('nowhere/*.yml')).toEqual([])
    expect(await found('odd[1].yml')).toEqual([])
    expect(await found(escapeGoPattern('odd[1].yml'))).toEqual(['odd[1].yml'])
  })
})
