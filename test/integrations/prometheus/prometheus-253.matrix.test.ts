// The same tests on Prometheus 2.53.
import { usePrometheusOf } from '../../support/other-suite.ts'

await usePrometheusOf('trixie')
await import('./http-prometheus-api.test.ts')
await import('./prometheus-access.test.ts')
await import('./prometheus-failures.test.ts')
await import('./prometheus-server.test.ts')
await import('./remote-read.test.ts')
