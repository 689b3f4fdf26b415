import { type Logger as PinoLogger, pino } from 'pino'

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'

/** Static message and fields: `log.info({ key }, 'object stored')`. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'trace'>

const secretPaths = ['password', 'token', 'secretAccessKey', 'sessionToken', 'authorization', '*.password', '*.token', '*.secretAccessKey', '*.sessionToken', '*.authorization', '*.headers.authorization']

export interface LoggerOptions {
  level: LogLevel
  /** Human lines instead of JSON: for a terminal. */
  pretty: boolean
  colour: boolean
}

/** Logs go to stderr, so that stdout has the answer and nothing else. What makes them human is loaded only where it is wanted. */
export async function createLogger(options: LoggerOptions): Promise<PinoLogger> {
  const settings = { level: options.level, redact: { paths: secretPaths, censor: '***' }, base: null }
  if (!options.pretty) return pino({ ...settings, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }))
  const { PinoPretty } = await import('pino-pretty')
  return pino(settings, PinoPretty({ colorize: options.colour, destination: 2, sync: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname' }))
}

export const silentLogger: Logger = pino({ level: 'silent' })
