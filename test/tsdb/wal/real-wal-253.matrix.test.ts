// The same tests on Prometheus 2.53.
import { usePrometheusOf } from '../../support/other-suite.ts'

await usePrometheusOf('trixie')
await import('./real-wal.test.ts')
