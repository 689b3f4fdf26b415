// Two of the kills, one of them after a head compaction, on Prometheus 3.5.
import { usePrometheusOf } from '../support/other-suite.ts'

process.env['PROM_DR_TEST_ROUNDS'] ??= '2'
await usePrometheusOf('sid')
await import('./ship-kill.full.test.ts')
