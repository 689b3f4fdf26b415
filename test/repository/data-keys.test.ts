import { expect, test } from 'vitest'
import { isDataKey } from '../../src/repository/data-keys.ts'
import { blockPrefix, deletionMarkKey, headPrefix, intentKey, recoveryPointKey, tombstonesKey } from '../../src/repository/layout.ts'
import { checkpointFileName, checkpointPrefix, generationKey, heartbeatKey, pieceKey, segmentTimesKey } from '../../src/repository/wal-keys.ts'

const ulid = '01KAJ0000000000000000000AB'
const id = '20261121T081500Z-0a1b2c3d'
const digest = 'ab'.repeat(32)
const piece = { log: 'wal' as const, segment: 3, start: 0, end: 100, newestSample: 1_700_000_000_000, seenAt: 1_700_000_000_000, digest, predecessor: { segment: 2, length: 5, digest }, sealed: false }

test('samples, series and deletions are data, wherever they lie', () => {
  const keys = [
    `${blockPrefix(ulid)}index`, `${blockPrefix(ulid)}chunks/000001`, `${headPrefix('prom-a', ulid)}index`, `${headPrefix('prom-a', ulid)}chunks/000002`, tombstonesKey('prom-a', digest),
    pieceKey('prom-a', id, piece), pieceKey('prom-a', id, { ...piece, log: 'wbl', sealed: true, newestSample: null }),
    `${checkpointPrefix('prom-a', id, 7)}${checkpointFileName({ number: 0, length: 1, digest })}`,
  ]
  for (const key of keys) expect(isDataKey(key), key).toBe(true)
})

test('what a host without a secret key has to read is not', () => {
  const keys = [
    'prom-dr.json', `${blockPrefix(ulid)}meta.json`, deletionMarkKey(ulid), `${headPrefix('prom-a', ulid)}meta.json`, recoveryPointKey('prom-a', id), intentKey('prom-a', id),
    generationKey('prom-a', id), heartbeatKey('prom-a', id), segmentTimesKey('prom-a', id, { log: 'wal', segment: 3, digest }), `${checkpointPrefix('prom-a', id, 7)}checkpoint.json`,
    `instances/prom-a/archives/grafana/${digest}.tar.gz.age`, `${blockPrefix(ulid)}index.age`,
  ]
  for (const key of keys) expect(isDataKey(key), key).toBe(false)
})
