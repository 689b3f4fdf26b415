import { describe, expect, test } from 'vitest'
import { archiveKey, blockPrefix, deletionMarkKey, documentName, externalPath, headPrefix, identityKey, instancePrefix, intentKey, isExternalPath, isInstanceName, leaseKey, recoveryPointKey, tombstonesKey } from '../../src/repository/layout.ts'
import { PromDrError } from '../../src/errors.ts'
import { checkKey } from '../../src/stores/keys.ts'

const ulid = '01ARZ3NDEKTSV4RRFFQ69G5FAV'
const id = '20261121T023615Z-79535be5'

test('everything lies where the design says', () => {
  const keys = [
    blockPrefix(ulid), deletionMarkKey(ulid), headPrefix('prom-a', ulid), identityKey('prom-a'), recoveryPointKey('prom-a', id), intentKey('prom-a', id),
    leaseKey('prom-a', 'backup', 7), leaseKey('prom-a', 'ship', 123_456_789), tombstonesKey('prom-a', 'a'.repeat(64)),
    archiveKey('prom-a', { component: 'grafana', sha256: 'b'.repeat(64), encrypted: false }), archiveKey('prom-a', { component: 'files_1', sha256: 'c'.repeat(64), encrypted: true }),
    `${instancePrefix('prom-a')}${externalPath('vm', id)}`,
  ]
  expect(keys).toEqual([
    `blocks/${ulid}/`, `blocks/${ulid}/deletion-mark.json`, `instances/prom-a/heads/${ulid}/`, 'instances/prom-a/instance.json', `instances/prom-a/recovery-points/${id}.json`,
    `instances/prom-a/intents/${id}.json`, 'instances/prom-a/leases/backup/00000007.json', 'instances/prom-a/leases/ship/123456789.json', `instances/prom-a/tombstones/${'a'.repeat(64)}`,
    `instances/prom-a/archives/grafana/${'b'.repeat(64)}.tar.gz`, `instances/prom-a/archives/files_1/${'c'.repeat(64)}.tar.gz.age`, `instances/prom-a/archives/vm/external/${id}/`,
  ])
  for (const key of keys) expect(checkKey(key.replace(/\/$/, ''))).toBeTruthy()
})

const hostile = ['', '.', '..', '../x', '/etc/cron.d/x', 'a/b', 'a\\b', 'a\0', 'a\nb', 'x'.repeat(2000)]

describe.each(hostile.map((name) => [name.slice(0, 20), name] as const))('the name %j', (_, name) => {
  test.each<[string, () => string]>([
    ['block', () => blockPrefix(name)],
    ['mark', () => deletionMarkKey(name)],
    ['head', () => headPrefix('prom-a', name)],
    ['instance', () => instancePrefix(name)],
    ['recovery point', () => recoveryPointKey('prom-a', name)],
    ['intent', () => intentKey('prom-a', name)],
    ['tombstones', () => tombstonesKey('prom-a', name)],
    ['archive', () => archiveKey('prom-a', { component: 'files', sha256: name, encrypted: false })],
    ['archive of a component', () => archiveKey('prom-a', { component: name, sha256: 'a'.repeat(64), encrypted: false })],
    ['external data', () => externalPath('vm', name)],
    ['external data of a component', () => externalPath(name, id)],
  ])('leads to no %s', (_, make) => {
    expect(make).toThrow(PromDrError)
    expect(make).toThrow(expect.objectContaining({ code: 'KEY_INVALID', hint: expect.any(String) }))
  })
})

test.each(['prom-a', 'a', '9', 'Prom_A.eu-west-1', 'x'.repeat(63)])('%j is a name of an instance', (name) => {
  expect(isInstanceName(name)).toBe(true)
})

test.each([
  ['a/b.json', 'a/', 'b'],
  ['a/b.c.json', 'a/', 'b.c'],
  ['a/b/c.json', 'a/', undefined],
  ['a/.json', 'a/', undefined],
  ['a/b.txt', 'a/', undefined],
  ['b/b.json', 'a/', undefined],
  ['a/b.json.tmp', 'a/', undefined],
])('the document of %j below %j is %j', (key, prefix, name) => {
  expect(documentName(key, prefix)).toBe(name)
})

test.each([
  [`archives/vm/external/${id}/`, true], [`archives/other/external/${id}/`, false], [`archives/vm/external/${id}`, false], ['archives/vm/external/../', false],
  [`archives/vm/external/${id}/../`, false], ['recovery-points/', false], ['', false], ['/', false],
])('that %j is where the component vm keeps external data is %s', (path, expected) => {
  expect(isExternalPath(path, 'vm')).toBe(expected)
})
