// The same tests on Prometheus 3.5 and Alertmanager 0.33.
import { useAlertmanagerOf, usePrometheusOf, usePromtoolOf } from '../support/other-suite.ts'

await usePrometheusOf('sid')
await usePromtoolOf('sid')
await useAlertmanagerOf('sid')
await import('./alertmanager/alertmanager-component.test.ts')
await import('./prometheus/prometheus-component.test.ts')
await import('../e2e/alerting-restore.test.ts')
await import('../integrations/alertmanager/http-alertmanager-api.test.ts')
