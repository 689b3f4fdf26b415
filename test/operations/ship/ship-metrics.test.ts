import { describe, expect, it } from 'vitest'
import { type RepositoryTally, type ShipState, shipMetrics } from '../../../src/operations/ship/ship-metrics.ts'
import type { ShipReport, ShippedRepository } from '../../../src/operations/ship/ship-report.ts'

const atMs = Date.UTC(2026, 10, 21, 3)

function repositoryOf(name: string, more: Partial<ShippedRepository> = {}): ShippedRepository {
  return { name, url: `file:///srv/${name}`, ok: true, generation: 'g', shippedTo: '00000001:5', newestSample: '2026-11-21T02:59:58.500Z', lagSeconds: 1.5, parts: 7, bytes: 4096, gaps: [], ...more }
}

function stateOf(repositories: ShippedRepository[], more: Partial<ShipReport> = {}, tallies: Record<string, Partial<RepositoryTally>> = {}): ShipState {
  const report: ShipReport = { instance: 'prom-a', shippedTo: null, newestSample: null, lagSeconds: null, generation: null, parts: 0, bytes: 0, repositories, corruption: [], unknownRecords: [], backups: [], warnings: [], ...more }
  const tallyOf = (name: string): RepositoryTally => ({ passes: 3, failures: new Map(), lastSuccessAtMs: atMs, lastGapFoundAtMs: undefined, sourceDamaged: false, ...tallies[name] })
  return { report, tallies: new Map(repositories.map(({ name }) => [name, tallyOf(name)])), lost: { wal: 0, wbl: 0 }, startedAtMs: atMs - 60_000 }
}

/** The values of one metric, by the labels other than the server's. */
function valuesOf(state: ShipState, name: string): Record<string, number> {
  const metric = shipMetrics(state).find((one) => one.name === `prom_dr_ship_${name}`)
  expect(metric, name).toBeDefined()
  return Object.fromEntries(metric?.samples.map(({ labels: { server, ...others }, value }) => {
    expect(server).toBe('prom-a')
    return [Object.values(others).join(' '), value]
  }) ?? [])
}

const corruptAt = (path: string, segment: number, offset: number) => ({ path: `/data/${path}`, segment, offset, message: `${path} at ${offset}` })

describe('the metrics of shipping', () => {
  it('have names by the conventions, and say of each sample all of its labels', () => {
    const metrics = shipMetrics(stateOf([repositoryOf('a')], { corruption: [corruptAt('wal/00000003', 3, 40)] }))
    expect(new Set(metrics.map(({ name }) => name)).size).toBe(metrics.length)
    for (const { name, type, labels, samples, help } of metrics) {
      expect(name).toMatch(/^prom_dr_ship_[a-z_]+$/)
      expect(name.endsWith('_total'), name).toBe(type === 'counter')
      expect(help).toMatch(/\.$/)
      for (const sample of samples) expect(Object.keys(sample.labels).sort(), name).toEqual([...labels].sort())
    }
  })

  it('begin with 0 for every repository that is configured, so that the first increase is one', () => {
    const state = stateOf([repositoryOf('a', { parts: 0, bytes: 0 }), repositoryOf('b', { ok: false, newestSample: null, parts: 0, bytes: 0 })], {}, { b: { passes: 0, lastSuccessAtMs: undefined } })
    for (const name of ['shipped_parts_total', 'shipped_bytes_total', 'gaps_total']) expect(valuesOf(state, name)).toEqual({ a: 0, b: 0 })
    for (const repository of ['a', 'b']) expect(valuesOf(state, 'failures_total')).toMatchObject({ [`${repository} STORE_UNREACHABLE`]: 0, [`${repository} DISK_FULL`]: 0 })
    expect(valuesOf(state, 'log_corruptions_total')).toEqual({ wal: 0, wbl: 0, checkpoint: 0 })
    expect(valuesOf(state, 'lost_segments_total')).toEqual({ wal: 0, wbl: 0 })
  })

  it('tell for each repository how it went, when that was, and how old its newest sample is', () => {
    const state = stateOf([repositoryOf('a'), repositoryOf('b', { ok: false, newestSample: null }), repositoryOf('c', { ok: false })], {}, {
      b: { passes: 0, lastSuccessAtMs: undefined },
      c: { passes: 9, lastSuccessAtMs: atMs - 1000, failures: new Map([['STORE_UNREACHABLE', 4], ['PROGRAM_FAILED', 1]]) },
    })
    expect(valuesOf(state, 'last_pass_success')).toEqual({ a: 1, c: 0 })
    expect(valuesOf(state, 'last_success_timestamp_seconds')).toEqual({ a: atMs / 1000, b: 0, c: atMs / 1000 - 1 })
    expect(valuesOf(state, 'newest_sample_timestamp_seconds')).toEqual({ a: atMs / 1000 - 1.5, c: atMs / 1000 - 1.5 })
    expect(valuesOf(state, 'passes_total')).toEqual({ a: 3, b: 0, c: 9 })
    expect(valuesOf(state, 'failures_total')).toMatchObject({ 'a STORE_UNREACHABLE': 0, 'c STORE_UNREACHABLE': 4, 'c PROGRAM_FAILED': 1 })
    expect(valuesOf(state, 'shipped_parts_total')).toEqual({ a: 7, b: 7, c: 7 })
    expect(valuesOf(state, 'start_time_seconds')).toEqual({ '': atMs / 1000 - 60 })
  })

  it('count each place of corruption once, however many met it, with the first one\'s position', () => {
    const corruption = [corruptAt('wal/00000003', 3, 40), corruptAt('.prom-dr-wal-hold/wal/00000003', 3, 40), corruptAt('wal/00000005', 5, 0), corruptAt('wbl/00000003', 3, 40), corruptAt('wal/checkpoint.00000002/00000000', 0, 8)]
    const state = stateOf([repositoryOf('a'), repositoryOf('b')], { corruption }, { b: { sourceDamaged: true } })
    expect(valuesOf(state, 'log_corruptions_total')).toEqual({ wal: 2, wbl: 1, checkpoint: 1 })
    expect(valuesOf(state, 'log_corruption_segment')).toEqual({ wal: 3, wbl: 3, checkpoint: 0 })
    expect(valuesOf(state, 'log_corruption_offset_bytes')).toEqual({ wal: 40, wbl: 40, checkpoint: 8 })
    expect(valuesOf(state, 'log_damaged')).toEqual({ '': 1 })
    expect(valuesOf(stateOf([repositoryOf('a')]), 'log_damaged')).toEqual({ '': 0 })
    expect(valuesOf(stateOf([repositoryOf('a')]), 'log_corruption_segment')).toEqual({})
  })

  it('tell gaps, segments that were let go, unknown records and recovery points that are missing', () => {
    const gap = { from: null, to: '2026-11-21T02:00:00.000Z', reason: 'segment 00000001 was removed' }
    const record = { type: 99, path: '/data/wal/00000001', segment: 1, offset: 0 }
    const state = stateOf([repositoryOf('a', { gaps: [gap, gap] }), repositoryOf('b')], {
      unknownRecords: [record], backups: [{ repository: 'a', reason: 'gap', ok: true, recoveryPoint: 'p' }, { repository: 'b', reason: 'gap', ok: false, recoveryPoint: null }],
    }, { a: { lastGapFoundAtMs: atMs } })
    expect(valuesOf(state, 'gaps_total')).toEqual({ a: 2, b: 0 })
    expect(valuesOf(state, 'last_gap_found_timestamp_seconds')).toEqual({ a: atMs / 1000, b: 0 })
    expect(valuesOf(state, 'unknown_record_types')).toEqual({ '': 1 })
    expect(valuesOf(state, 'needed_recovery_point_failed')).toEqual({ a: 0, b: 1 })
    expect(valuesOf({ ...state, lost: { wal: 4, wbl: 1 } }, 'lost_segments_total')).toEqual({ wal: 4, wbl: 1 })
  })
})
