import { type Command, Option } from 'commander'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Taken before or after every verb. */
export interface GlobalOptions {
  config?: string
  json: boolean
  quiet: boolean
  logLevel?: LogLevel
  /** False with --no-color. */
  color: boolean
}

export function addGlobalOptions(program: Command): Command {
  return program
    .option('-c, --config <file>', 'configuration file (default: $PROM_DR_CONFIG, ./prom-dr.yml, /etc/prom-dr/prom-dr.yml)')
    .option('--json', 'print one JSON document on stdout, and nothing else', false)
    .option('-q, --quiet', 'print only what was asked for, and errors', false)
    .addOption(new Option('--log-level <level>', 'least level that is logged to stderr').choices(logLevels))
    .option('--no-color', 'print without colours')
}
