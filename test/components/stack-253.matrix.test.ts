// The same tests on Prometheus 2.53 and Alertmanager 0.28.
import { useAlertmanagerOf, usePrometheusOf, usePromtoolOf } from '../support/other-suite.ts'

await usePrometheusOf('trixie')
await usePromtoolOf('trixie')
await useAlertmanagerOf('trixie')
await import('./alertmanager/alertmanager-component.test.ts')
await import('./prometheus/prometheus-component.test.ts')
await import('../e2e/alerting-restore.test.ts')
await import('../integrations/alertmanager/http-alertmanager-api.test.ts')
