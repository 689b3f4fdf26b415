import type { Config } from './config.ts'

const secretKeys: ReadonlySet<string> = new Set(['password', 'secretAccessKey', 'sessionToken', 'accessKeyId', 'passphrase'])

/** A copy to print: secrets are `***`. */
export function maskSecrets(config: Config): Config {
  return masked(config) as Config
}

function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, secretKeys.has(key) && inner !== undefined ? '***' : masked(inner)]))
}
