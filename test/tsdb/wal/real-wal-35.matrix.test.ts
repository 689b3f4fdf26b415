// The same tests on Prometheus 3.5.
import { usePrometheusOf } from '../../support/other-suite.ts'

await usePrometheusOf('sid')
await import('./real-wal.test.ts')
