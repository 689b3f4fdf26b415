import { createCommandComponent } from './components/command.ts'
import type { Component } from './components/component.ts'
import { createFilesComponent } from './components/files.ts'
import { createGrafanaComponent } from './components/grafana.ts'
import { createProgramConfiguration } from './components/program-configuration.ts'
import { createPushgatewayComponent } from './components/pushgateway.ts'
import type { ComponentsConfig } from './config/components-config.ts'
import { createGrafanaApi } from './integrations/grafana/http-grafana-api.ts'
import type { Clock } from './system/clock.ts'

/** Every component that is configured, in the order in which they are restored: what others need comes first. */
export function composeComponents(config: ComponentsConfig, { clock }: { clock: Clock }): Component[] {
  const now = () => clock.now()
  const { grafana, pushgateway, haproxy, nginx, keepalived, files, commands } = config
  const components: (Component | undefined)[] = [
    pushgateway && createPushgatewayComponent({ ...pushgateway, now }),
    ...files.map((settings) => createFilesComponent({ ...settings, now })),
    ...commands.map((settings) => createCommandComponent(settings)),
    grafana && composeGrafana(grafana, now),
    haproxy && createProgramConfiguration('haproxy', { ...haproxy, now }),
    nginx && createProgramConfiguration('nginx', { ...nginx, now }),
    keepalived && createProgramConfiguration('keepalived', { ...keepalived, now }),
  ]
  return components.filter((component) => component !== undefined)
}

function composeGrafana({ url, tokenFile, basicAuth, tls, ...settings }: NonNullable<ComponentsConfig['grafana']>, now: () => Date): Component {
  const api = createGrafanaApi({ url, ...(tokenFile !== undefined && { tokenFile }), ...(basicAuth && { basicAuth }), ...(tls && { tls }) })
  return createGrafanaComponent({ ...settings, api, now })
}
