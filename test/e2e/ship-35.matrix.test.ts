// What is shipped and restored, on Prometheus 3.5.
import { usePrometheusOf } from '../support/other-suite.ts'

await usePrometheusOf('sid')
await import('./ship-compressions.test.ts')
await import('./restore-moment.test.ts')
