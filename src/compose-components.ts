import { createAlertmanagerComponent } from './components/alertmanager/alertmanager-component.ts'
import { createCommandComponent } from './components/command.ts'
import type { Component } from './components/component.ts'
import { createFilesComponent } from './components/files.ts'
import { createGrafanaComponent } from './components/grafana.ts'
import { createProgramConfiguration } from './components/program-configuration.ts'
import { createPrometheusComponent } from './components/prometheus/prometheus-component.ts'
import { createPushgatewayComponent } from './components/pushgateway.ts'
import { createVictoriaMetricsComponent } from './components/victoriametrics.ts'
import type { ComponentsConfig } from './config/components-config.ts'
import type { EncryptionConfig } from './config/config.ts'
import { createAlertmanagerApi } from './integrations/alertmanager/http-alertmanager-api.ts'
import { createGrafanaApi } from './integrations/grafana/http-grafana-api.ts'
import type { PrometheusApi } from './integrations/prometheus/prometheus-api.ts'
import { createVictoriaMetricsApi } from './integrations/victoriametrics/victoriametrics-api.ts'
import { createAgeEncryption } from './integrations/age/age-encryption.ts'
import { createAgeKeys } from './integrations/age/keys.ts'
import type { ComponentsContext, ConfiguredComponent } from './operations/components/components-context.ts'
import type { Clock } from './system/clock.ts'
import type { Logger } from './system/logger.ts'

interface Collaborators {
  clock: Clock
  /** The server whose TSDB is backed up. */
  prometheus: PrometheusApi
}

/** Every component that is configured, in the order in which they are restored: what others need comes first. */
export function composeComponents(config: ComponentsConfig, { clock, prometheus }: Collaborators): ConfiguredComponent[] {
  const now = () => clock.now()
  const { alertmanager, grafana, pushgateway, haproxy, nginx, keepalived, victoriametrics, files, commands } = config
  const components: (Component | undefined)[] = [
    pushgateway && createPushgatewayComponent({ ...pushgateway, now }),
    ...files.map((settings) => createFilesComponent({ ...settings, now })),
    ...commands.map((settings) => createCommandComponent(settings)),
    victoriametrics && composeVictoriaMetrics(victoriametrics, now),
    alertmanager && composeAlertmanager(alertmanager, clock),
    grafana && composeGrafana(grafana, now),
    haproxy && createProgramConfiguration('haproxy', { ...haproxy, now }),
    nginx && createProgramConfiguration('nginx', { ...nginx, now }),
    keepalived && createProgramConfiguration('keepalived', { ...keepalived, now }),
  ]
  const { enabled, ...settings } = config.prometheus
  return [
    // Silences are there before the rules that fire.
    ...components.filter((component) => component !== undefined).map((component) => ({ component, asked: true })),
    ...(enabled ? [{ component: createPrometheusComponent({ api: prometheus, settings, clock }), asked: Object.keys(settings).length > 0 }] : []),
  ]
}

/** For whom archives are sealed, if for anybody, and what they are opened with. No key is read before it is needed. */
export function composeEncryption(config: EncryptionConfig, logger: Logger): Pick<ComponentsContext, 'encryption' | 'opening'> {
  const { recipients, data: _, ...keys } = config
  const encryption = createAgeEncryption(recipients, createAgeKeys(keys, { logger }))
  const seals = recipients.length > 0 || keys.passphrase !== undefined || keys.passphraseFile !== undefined
  return { opening: encryption, ...(seals && { encryption }) }
}

function composeVictoriaMetrics({ url, authKeyFile, ...settings }: NonNullable<ComponentsConfig['victoriametrics']>, now: () => Date): Component {
  const api = createVictoriaMetricsApi({ url, ...(authKeyFile !== undefined && { authKeyFile }) })
  return createVictoriaMetricsComponent({ ...settings, api, now })
}

function composeAlertmanager({ url, basicAuth, bearerTokenFile, tls, ...settings }: NonNullable<ComponentsConfig['alertmanager']>, clock: Clock): Component {
  const api = createAlertmanagerApi({ url, ...(basicAuth && { basicAuth }), ...(bearerTokenFile !== undefined && { bearerTokenFile }), ...(tls && { tls }) })
  return createAlertmanagerComponent({ api, settings, clock })
}

function composeGrafana({ url, tokenFile, basicAuth, tls, ...settings }: NonNullable<ComponentsConfig['grafana']>, now: () => Date): Component {
  const api = createGrafanaApi({ url, ...(tokenFile !== undefined && { tokenFile }), ...(basicAuth && { basicAuth }), ...(tls && { tls }) })
  return createGrafanaComponent({ ...settings, api, now })
}
