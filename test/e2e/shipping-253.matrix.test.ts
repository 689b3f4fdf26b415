// The same tests on Prometheus 2.53.
import { usePrometheusOf } from '../support/other-suite.ts'

await usePrometheusOf('trixie')
await import('./ship-gap.test.ts')
await import('./ship-window.test.ts')
await import('./ship-traps.test.ts')
await import('./ship-late-blocks.test.ts')
await import('./wal-by-hand.test.ts')
