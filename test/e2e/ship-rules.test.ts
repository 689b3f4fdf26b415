import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { shipMetrics } from '../../src/operations/ship/ship-metrics.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { missingPrograms, promtoolBinary } from '../support/prometheus.ts'

const rulesFile = fileURLToPath(new URL('../../runbooks/ship-rules.yml', import.meta.url))
const promtool = (...argv: string[]) => promisify(execFile)(promtoolBinary(), argv)

const alerts = async (): Promise<{ alert: string; expr: string; annotations: Record<string, string> }[]> => parse(await readFile(rulesFile, 'utf8')).groups[0].rules

const labels = '{instance="host:9100", server="prom-a", repository="primary"}'
const ofLog = '{instance="host:9100", server="prom-a", log="wal"}'
const name = (metric: string, of = labels) => `prom_dr_ship_${metric}${of}`
const mtime = 'node_textfile_mtime_seconds{instance="host:9100", file="/var/lib/prometheus/node-exporter/prom_dr_ship.prom"}'

/** What is true of a shipper in order for three hours, a sample a minute; time begins with 0. */
const inOrder: Record<string, string> = {
  [mtime]: '0+60x180',
  [name('start_time_seconds', '{instance="host:9100", server="prom-a"}')]: '1x180',
  [name('last_pass_success')]: '1x180',
  [name('last_success_timestamp_seconds')]: '0+60x180',
  [name('newest_sample_timestamp_seconds')]: '0+60x180',
  [name('last_gap_found_timestamp_seconds')]: '-172800x180',
  [name('lost_segments_total', ofLog)]: '0x180',
  [name('log_damaged', '{instance="host:9100", server="prom-a"}')]: '0x180',
  [name('needed_recovery_point_failed')]: '0x180',
  [name('unknown_record_types', '{instance="host:9100", server="prom-a"}')]: '0x180',
}

/** The alerts that fire after most of three hours, where what is given is otherwise than in order. */
async function firing(changed: Record<string, string>, expected: readonly string[]): Promise<string> {
  const file = join(await temporaryDirectory('rules'), 'tests.yml')
  const series = Object.entries({ ...inOrder, ...changed }).map(([one, values]) => ({ series: one, values }))
  const fires = { expr: 'count by (alertname) (ALERTS{alertstate="firing"})', eval_time: '175m', exp_samples: expected.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })) }
  await writeFile(file, JSON.stringify({ rule_files: [rulesFile], evaluation_interval: '1m', tests: [{ interval: '1m', input_series: series, promql_expr_test: [fires] }] }))
  const { stdout, stderr } = await promtool('test', 'rules', file).catch((error: { stdout: string; stderr: string }) => error)
  return stdout + stderr
}

describe.skipIf(missingPrograms('promtool'))('the rules for alerts on shipping', () => {
  it('are accepted by promtool, name metrics that there are, and pages that there are', async () => {
    expect((await promtool('check', 'rules', rulesFile)).stdout).toContain('SUCCESS')
    const report = { instance: 'a', shippedTo: null, newestSample: null, lagSeconds: null, generation: null, parts: 0, bytes: 0, repositories: [], corruption: [], unknownRecords: [], backups: [], warnings: [] }
    const known = shipMetrics({ report, tallies: new Map(), lost: { wal: 0, wbl: 0 }, startedAtMs: 0 }).map((metric) => metric.name)
    const page = await readFile(fileURLToPath(new URL('../../runbooks/ship-alerts.md', import.meta.url)), 'utf8')
    for (const { alert, expr, annotations } of await alerts()) {
      for (const [used] of expr.matchAll(/prom_dr_ship_\w+(?=[\[\s)]|$)/g)) expect(known).toContain(used)
      expect(page).toContain(`\`${alert}\``)
      await readFile(fileURLToPath(new URL(`../../${annotations['runbook']}`, import.meta.url)))
    }
    for (const metric of known) expect(page).toContain(`\`${metric.replace('prom_dr_ship_', '')}\``)
  })

  it('are silent while all is in order', async () => {
    expect(await firing({}, [])).toContain('SUCCESS')
    // What is looked at here does fail.
    expect(await firing({}, ['PromDrShipDown'])).toContain('FAILED')
  })

  it.each([
    { what: 'nothing writes the file any more', changed: { [mtime]: '0+60x100 6000x80' }, fires: ['PromDrShipDown'] },
    { what: 'the file is gone', changed: { [mtime]: '0+60x100', [name('start_time_seconds', '{instance="host:9100", server="prom-a"}')]: '1x100' }, fires: ['PromDrShipMetricsMissing'] },
    { what: 'a repository is away', changed: { [name('last_pass_success')]: '1x100 0x80', [name('last_success_timestamp_seconds')]: '0+60x100 6000x80', [name('newest_sample_timestamp_seconds')]: '0+60x100 6000x80' }, fires: ['PromDrShipFailing', 'PromDrShipRpoHigh'] },
    { what: 'a repository has never been reached', changed: { [name('last_pass_success')]: '0x180', [name('last_success_timestamp_seconds')]: '0x180', [name('newest_sample_timestamp_seconds')]: '_x180' }, fires: ['PromDrShipFailing'] },
    { what: 'the server logs nothing any more', changed: { [name('newest_sample_timestamp_seconds')]: '0+60x100 6000x80' }, fires: ['PromDrShipRpoHigh'] },
    { what: 'a gap was found, by a process that had just begun', changed: { [name('last_gap_found_timestamp_seconds')]: '0x150 9000x30' }, fires: ['PromDrShipGap'] },
    { what: 'segments were let go', changed: { [name('lost_segments_total', ofLog)]: '0x150 3x30' }, fires: ['PromDrShipSegmentsLost'] },
    { what: 'the log of the server is damaged', changed: { [name('log_damaged', '{instance="host:9100", server="prom-a"}')]: '0x150 1x30' }, fires: ['PrometheusLogDamaged'] },
    { what: 'a recovery point cannot be made', changed: { [name('needed_recovery_point_failed')]: '0x100 1x80' }, fires: ['PromDrShipRecoveryPointFailed'] },
    { what: 'the server is newer', changed: { [name('unknown_record_types', '{instance="host:9100", server="prom-a"}')]: '2x180' }, fires: ['PromDrShipUnknownRecords'] },
  ])('fire when $what', async ({ changed, fires }) => {
    expect(await firing(changed, fires)).toContain('SUCCESS')
  })
})
