// Two of the kills, one of them after a head compaction, on Prometheus 2.53.
import { usePrometheusOf } from '../support/other-suite.ts'

process.env['PROM_DR_TEST_ROUNDS'] ??= '2'
await usePrometheusOf('trixie')
await import('./ship-kill.full.test.ts')
