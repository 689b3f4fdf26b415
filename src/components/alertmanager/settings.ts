import type { AlertmanagerApi } from '../../integrations/alertmanager/alertmanager-api.ts'
import type { Clock } from '../../system/clock.ts'

export interface AlertmanagerComponentSettings {
  /** `--config.file`; without it the configuration is left out. */
  configFile?: string
  /** `--storage.path`; without it the notification log is left out. */
  dataDir?: string
  /** A path, or a name found on PATH. Default: `amtool`. */
  amtool?: string
  /** Argv of what has the server read its configuration anew, instead of `POST /-/reload`. */
  reload?: readonly string[]
  /** Directories beside the configuration's own that a restore may write to. */
  places?: readonly string[]
}

export interface AlertmanagerComponentContext {
  api: AlertmanagerApi
  settings: AlertmanagerComponentSettings
  clock: Clock
}
