import { parseEnv } from 'node:util'
import { closestMatch } from 'leven'
import type { Path, Problem } from './problems.ts'

/** Names the configuration file; looked up in the environment only, since `.env` lies beside that file. */
export const configVariable = 'PROM_DR_CONFIG'

/** Every setting that can come from the environment, and the key of the file it stands for. */
export const settings: Readonly<Record<string, Path>> = {
  PROM_DR_INSTANCE: ['instance'],
  PROM_DR_PROMETHEUS_URL: ['prometheus', 'url'],
  PROM_DR_PROMETHEUS_DATA_DIR: ['prometheus', 'dataDir'],
  PROM_DR_PROMETHEUS_BINARY: ['prometheus', 'binary'],
  PROM_DR_PROMETHEUS_USERNAME: ['prometheus', 'basicAuth', 'username'],
  PROM_DR_PROMETHEUS_PASSWORD: ['prometheus', 'basicAuth', 'password'],
  PROM_DR_PROMETHEUS_PASSWORD_FILE: ['prometheus', 'basicAuth', 'passwordFile'],
  PROM_DR_PROMETHEUS_BEARER_TOKEN_FILE: ['prometheus', 'bearerTokenFile'],
  PROM_DR_PROMETHEUS_CA_FILE: ['prometheus', 'tls', 'caFile'],
  PROM_DR_PROMETHEUS_CERT_FILE: ['prometheus', 'tls', 'certFile'],
  PROM_DR_PROMETHEUS_KEY_FILE: ['prometheus', 'tls', 'keyFile'],
  PROM_DR_PROMETHEUS_SERVER_NAME: ['prometheus', 'tls', 'serverName'],
  PROM_DR_PROMETHEUS_INSECURE_SKIP_VERIFY: ['prometheus', 'tls', 'insecureSkipVerify'],
  PROM_DR_PROMETHEUS_TIMEOUT: ['prometheus', 'timeout'],
  PROM_DR_REPOSITORY_NAME: ['repositories', 0, 'name'],
  PROM_DR_REPOSITORY_URL: ['repositories', 0, 'url'],
  PROM_DR_S3_REGION: ['repositories', 0, 's3', 'region'],
  PROM_DR_S3_ENDPOINT: ['repositories', 0, 's3', 'endpoint'],
  PROM_DR_S3_FORCE_PATH_STYLE: ['repositories', 0, 's3', 'forcePathStyle'],
  PROM_DR_S3_PROFILE: ['repositories', 0, 's3', 'profile'],
  PROM_DR_S3_ACCESS_KEY_ID: ['repositories', 0, 's3', 'accessKeyId'],
  PROM_DR_S3_SECRET_ACCESS_KEY: ['repositories', 0, 's3', 'secretAccessKey'],
  PROM_DR_S3_SESSION_TOKEN: ['repositories', 0, 's3', 'sessionToken'],
  PROM_DR_S3_PART_SIZE: ['repositories', 0, 's3', 'partSize'],
  PROM_DR_S3_CONCURRENCY: ['repositories', 0, 's3', 'concurrency'],
  PROM_DR_S3_CA_FILE: ['repositories', 0, 's3', 'caFile'],
  PROM_DR_KEEP_LAST: ['repositories', 0, 'retention', 'keepLast'],
  PROM_DR_KEEP_HOURLY: ['repositories', 0, 'retention', 'keepHourly'],
  PROM_DR_KEEP_DAILY: ['repositories', 0, 'retention', 'keepDaily'],
  PROM_DR_KEEP_WEEKLY: ['repositories', 0, 'retention', 'keepWeekly'],
  PROM_DR_KEEP_MONTHLY: ['repositories', 0, 'retention', 'keepMonthly'],
  PROM_DR_KEEP_YEARLY: ['repositories', 0, 'retention', 'keepYearly'],
  PROM_DR_BACKUP_HEAD: ['backup', 'head'],
  PROM_DR_BACKUP_COMPACTED_SPAN: ['backup', 'compactedSpan'],
  PROM_DR_BACKUP_TIMEZONE: ['backup', 'timezone'],
  PROM_DR_KNOWN_ANSWERS_SERIES: ['backup', 'knownAnswers', 'series'],
  PROM_DR_KNOWN_ANSWERS_SAMPLES_PER_SERIES: ['backup', 'knownAnswers', 'samplesPerSeries'],
  PROM_DR_KNOWN_ANSWERS_QUERIES: ['backup', 'knownAnswers', 'queries'],
  PROM_DR_SHIP_INTERVAL: ['ship', 'interval'],
  PROM_DR_SHIP_MAX_BYTES: ['ship', 'maxBytes'],
  PROM_DR_SHIP_HOLD_LIMIT: ['ship', 'holdLimit'],
  PROM_DR_SHIP_WINDOW: ['ship', 'window'],
  PROM_DR_SHIP_NICENESS: ['ship', 'niceness'],
  PROM_DR_SHIP_CPU_LIMIT: ['ship', 'cpuLimit'],
  PROM_DR_SHIP_BACKUP_AFTER_GAP: ['ship', 'backupAfterGap'],
  PROM_DR_SHIP_METRICS_FILE: ['ship', 'metricsFile'],
  PROM_DR_RESTORE_TARGET: ['restore', 'target'],
  PROM_DR_RESTORE_OWNER: ['restore', 'owner'],
  PROM_DR_RESTORE_RETENTION: ['restore', 'retention'],
  PROM_DR_PROMETHEUS_CONFIG_FILE: ['components', 'prometheus', 'configFile'],
  PROM_DR_ALERTMANAGER_URL: ['components', 'alertmanager', 'url'],
  PROM_DR_ALERTMANAGER_CONFIG_FILE: ['components', 'alertmanager', 'configFile'],
  PROM_DR_ALERTMANAGER_DATA_DIR: ['components', 'alertmanager', 'dataDir'],
  PROM_DR_GRAFANA_URL: ['components', 'grafana', 'url'],
  PROM_DR_GRAFANA_TOKEN_FILE: ['components', 'grafana', 'tokenFile'],
  PROM_DR_PUSHGATEWAY_PERSISTENCE_FILE: ['components', 'pushgateway', 'persistenceFile'],
  PROM_DR_TRANSFER_CONCURRENCY: ['transfer', 'concurrency'],
  PROM_DR_TRANSFER_UPLOAD_PER_SECOND: ['transfer', 'uploadPerSecond'],
  PROM_DR_TRANSFER_DOWNLOAD_PER_SECOND: ['transfer', 'downloadPerSecond'],
  PROM_DR_TRANSFER_RETRY_BUDGET: ['transfer', 'retryBudget'],
  PROM_DR_ENCRYPTION_RECIPIENTS: ['encryption', 'recipients'],
  PROM_DR_ENCRYPTION_IDENTITY_FILE: ['encryption', 'identityFile'],
  PROM_DR_ENCRYPTION_PASSPHRASE_FILE: ['encryption', 'passphraseFile'],
  PROM_DR_ENCRYPTION_PASSPHRASE: ['encryption', 'passphrase'],
  PROM_DR_ENCRYPTION_DATA: ['encryption', 'data'],
  PROM_DR_OBJECTIVES_RPO: ['objectives', 'rpo'],
  PROM_DR_OBJECTIVES_RTO: ['objectives', 'rto'],
}

/** The environment over the text of `.env`. */
export function variablesFrom(env: NodeJS.ProcessEnv, dotEnv: string | undefined): Map<string, string> {
  const variables = new Map<string, string>()
  for (const [name, value] of Object.entries({ ...parseEnv(dotEnv ?? ''), ...env })) {
    if (value !== undefined) variables.set(name, value)
  }
  return variables
}

/** The settings that are given; an empty variable counts as not given. */
export function givenSettings(variables: ReadonlyMap<string, string>): { variable: string; path: Path; value: unknown }[] {
  return Object.entries(settings).flatMap(([variable, path]) => {
    const value = variables.get(variable)
    if (value === undefined || value === '') return []
    return [{ variable, path, value: listOf(path, value) ?? value }]
  })
}

/** The items of a setting that is a list: lines of queries, words of recipients. */
function listOf(path: Path, value: string): string[] | undefined {
  if (path.at(-1) === 'queries') return value.split('\n').filter((line) => line.trim() !== '')
  return path.at(-1) === 'recipients' ? value.split(/[\s,]+/).filter((word) => word !== '') : undefined
}

/** Variables that look like a misspelt setting. Others that begin with PROM_DR_ may be the user's own. */
export function misspeltSettings(variables: ReadonlyMap<string, string>, used: ReadonlySet<string>): Problem[] {
  const known = [...Object.keys(settings), configVariable]
  return [...variables.keys()].flatMap((variable) => {
    if (!variable.startsWith('PROM_DR_') || variable.startsWith('PROM_DR_TEST_') || known.includes(variable) || used.has(variable)) return []
    const nearest = closestMatch(variable, known, { maxDistance: 3 })
    return nearest === undefined ? [] : [{ path: [], variable, message: `is not a known variable; did you mean ${nearest}?` }]
  })
}
