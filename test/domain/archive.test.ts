import { describe, expect, test } from 'vitest'
import { collidingPath, isArchivePath, isComponentName } from '../../src/domain/archive.ts'

test.each(['prometheus.yml', 'rules/a b.yml', 'etc/systemd/system/dev-disk-by\\x2duuid.swap', '...', '.hidden', '-rf', 'größe/日本.json', 'C:/x', 'a'.repeat(255)])('%j is a path in an archive', (path) => {
  expect(isArchivePath(path)).toBe(true)
})

test.each(['', '/', '/etc/passwd', '//x', '..', '../x', 'a/../b', 'a/..', './a', 'a/./b', 'a//b', 'a/', 'a\0b', 'a\nb', '\u007f', '\ud800', 'a'.repeat(256), 'a/'.repeat(600) + 'a'])('%j is none', (path) => {
  expect(isArchivePath(path)).toBe(false)
})

test.each([
  [['a', 'b/c', 'b/d'], undefined],
  [['a', 'b', 'a'], 'a'],
  [['a', 'a/b'], 'a/b'],
  [['x/y/z/w', 'x/y'], 'x/y/z/w'],
  [['ab', 'a/b', 'a-b'], undefined],
])('of %j, %j stands in the way', (paths, expected) => {
  expect(collidingPath(paths)).toBe(expected)
})

describe('a name of a component', () => {
  test.each(['prometheus', 'a', '9', 'files-1_b', 'x'.repeat(63)])('%j is one', (name) => expect(isComponentName(name)).toBe(true))
  test.each(['', 'A', '-a', '_a', 'a/b', '..', 'a.b', 'x'.repeat(64)])('%j is none', (name) => expect(isComponentName(name)).toBe(false))
})
