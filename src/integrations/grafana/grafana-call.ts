import type { HttpRequest } from '../../system/http-client.ts'
import type { RequestOptions } from './grafana-api.ts'

/** One call of the API. 404 is an answer where `missing` says so. */
export interface GrafanaCall extends RequestOptions {
  method?: HttpRequest['method']
  query?: Record<string, string>
  body?: unknown
  /** Gives undefined for what is not there. */
  missing?: 'undefined'
  /** A write to the provisioning API: the object stays editable in Grafana. */
  editable?: boolean
}

export type AskGrafana = (path: string, call?: GrafanaCall) => Promise<unknown>
