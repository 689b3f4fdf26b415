// What is shipped and restored, on Prometheus 2.53.
import { usePrometheusOf } from '../support/other-suite.ts'

await usePrometheusOf('trixie')
await import('./ship-compressions.test.ts')
await import('./restore-moment.test.ts')
