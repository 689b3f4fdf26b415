// The same tests on Prometheus 2.53.
import { usePrometheusOf } from '../support/other-suite.ts'

await usePrometheusOf('trixie')
await import('./restore-alone.test.ts')
await import('./restore-deletions.test.ts')
await import('./restore-history.test.ts')
await import('./restore-late-samples.test.ts')
await import('./restore-later.test.ts')
await import('./restore-log-deletions.test.ts')
