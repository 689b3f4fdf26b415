import { z } from 'zod'
import { lockModes, storageClasses, unreadableClasses } from '../domain/tier-storage.ts'
import { componentsSchema } from './components-schema.ts'
import { type ConfigFiles, absoluteFile, ageRecipient, byteSize, decimal, duration, existingFile, httpUrl, path, repositoryUrl, text, wholeNumber, yesOrNo } from './fields.ts'

const mebibyte = 2 ** 20
const gibibyte = 2 ** 30

export interface SchemaSurroundings {
  /** What relative paths are taken from: the file's directory, or the working directory. */
  baseDir: string
  /** Where the default repository lies. */
  workingDir: string
  hostName: string
  files: ConfigFiles
}

/** A mapping whose keys may all be left out, and which may stand empty in the file. */
function section<S extends z.core.$ZodShape>(shape: S) {
  return z.preprocess((value) => value ?? {}, z.strictObject(shape))
}

/** Where what a tier keeps is stored, and for how long nobody may remove it. */
function tierStorage() {
  const storageClass = z.string().superRefine((name, context) => {
    if ((storageClasses as readonly string[]).includes(name)) return
    const unreadable = (unreadableClasses as readonly string[]).includes(name)
    const why = unreadable ? `${name} has to be asked for hours before it can be read, which a restore does not wait for: GLACIER_IR costs about as little and is read at once` : `must be one of ${storageClasses.join(', ')}, not ${name}`
    context.addIssue({ code: 'custom', message: unreadable ? `is refused: ${why}` : why })
  })
  return z.strictObject({ storageClass: storageClass.exactOptional(), lock: z.strictObject({ mode: z.enum(lockModes).default('GOVERNANCE'), days: wholeNumber(1, 36_500) }).exactOptional() }).exactOptional()
}

/** Also as text: a value from the environment is always text. */
function price() {
  return z.preprocess((value) => (typeof value === 'string' && value.trim() !== '' ? Number(value) : value), z.number().nonnegative())
}

/** How many are kept; what is left out keeps none. */
function retention() {
  const count = () => wholeNumber(0, 1_000_000).exactOptional()
  return z.strictObject({ keepLast: count(), keepHourly: count(), keepDaily: count(), keepWeekly: count(), keepMonthly: count(), keepYearly: count() })
}

const instanceName = () =>
  z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/, 'must be 1 to 63 letters, digits, dots, dashes or underscores, and begin with a letter or digit')

/** The shape of the file; each field gives the value of `Config` under its key in the file. */
export function fileSchema(surroundings: SchemaSurroundings) {
  const { baseDir, files } = surroundings
  const readable = () => existingFile(baseDir, files)
  return z.strictObject({
    instance: instanceName().default(surroundings.hostName).pipe(instanceName()),
    prometheus: section({
      url: httpUrl().prefault('http://127.0.0.1:9090'),
      dataDir: path(baseDir).exactOptional(),
      binary: text().exactOptional(),
      basicAuth: z.strictObject({ username: text(), password: text().exactOptional(), passwordFile: readable().exactOptional() }).exactOptional(),
      bearerTokenFile: readable().exactOptional(),
      tls: z
        .strictObject({
          caFile: readable().exactOptional(),
          certFile: readable().exactOptional(),
          keyFile: readable().exactOptional(),
          serverName: text().exactOptional(),
          insecureSkipVerify: yesOrNo().exactOptional(),
        })
        .exactOptional(),
      timeout: duration().prefault('30s'),
    }),
    repositories: z
      .array(
        z.strictObject({
          name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/, 'must be letters, digits, dots, dashes or underscores'),
          url: repositoryUrl(baseDir),
          s3: z
            .strictObject({
              region: text().exactOptional(),
              endpoint: httpUrl().exactOptional(),
              forcePathStyle: yesOrNo().exactOptional(),
              profile: text().exactOptional(),
              accessKeyId: text().exactOptional(),
              secretAccessKey: text().exactOptional(),
              sessionToken: text().exactOptional(),
              partSize: byteSize({ minBytes: 5 * mebibyte, maxBytes: 5 * gibibyte }).exactOptional(),
              concurrency: wholeNumber(1, 64).exactOptional(),
              caFile: readable().exactOptional(),
              sse: z.enum(['AES256', 'aws:kms']).exactOptional(),
              sseKmsKeyId: text().exactOptional(),
              tiers: z.strictObject({ hourly: tierStorage(), daily: tierStorage(), weekly: tierStorage(), monthly: tierStorage(), yearly: tierStorage() }).exactOptional(),
            })
            .exactOptional(),
          retention: retention().exactOptional(),
        }),
      )
      .min(1, 'is empty: name at least one repository, or leave the key out')
      .prefault([{ name: 'local', url: `${surroundings.workingDir}/prom-dr-repository` }]),
    backup: section({
      head: z.enum(['auto', 'always', 'never']).default('auto'),
      compactedSpan: duration({ minMs: 60_000 }).exactOptional(),
      knownAnswers: section({
        series: wholeNumber(0, 10_000).prefault(50),
        samplesPerSeries: wholeNumber(1, 10_000).prefault(60),
        queries: z.array(text()).default([]),
      }),
      timezone: z.string().refine(isTimeZone, 'must be a time zone such as UTC or Europe/Berlin').default('UTC'),
    }),
    ship: section({
      interval: duration({ minMs: 1000 }).prefault('10s'),
      maxBytes: byteSize({ minBytes: 64 * 1024, maxBytes: 128 * mebibyte }).prefault('8MiB'),
      holdLimit: byteSize({ minBytes: 0 }).prefault('2GiB'),
      window: duration({ minMs: 3_600_000 }).prefault('72h'),
      niceness: wholeNumber(0, 19).prefault(10),
      cpuLimit: decimal(0.05, 64).prefault(0.5),
      backupAfterGap: yesOrNo().default(true),
      metricsFile: absoluteFile('.prom').exactOptional(),
    }),
    restore: section({
      target: path(baseDir).exactOptional(),
      owner: z.string().regex(/^[A-Za-z0-9_][\w.-]*(:[A-Za-z0-9_][\w.-]*)?$/, 'must be user or user:group').exactOptional(),
      retention: duration().exactOptional(),
    }),
    components: componentsSchema(surroundings),
    transfer: section({
      concurrency: wholeNumber(1, 256).prefault(4),
      uploadPerSecond: byteSize({ minBytes: 1024 }).exactOptional(),
      downloadPerSecond: byteSize({ minBytes: 1024 }).exactOptional(),
      retryBudget: duration().prefault('2m'),
    }),
    encryption: section({
      recipients: z.array(ageRecipient()).max(10, 'has more than 10 keys, which is what an object can be sealed for').default([]),
      identityFile: path(baseDir).exactOptional(),
      passphraseFile: path(baseDir).exactOptional(),
      passphrase: text().exactOptional(),
      data: yesOrNo().default(false),
    }),
    prices: section({ currency: z.string().regex(/^[A-Za-z]{3}$/, 'must be the three letters of a currency').exactOptional(), perGibMonth: z.record(z.string(), price()).exactOptional() }),
    objectives: section({ rpo: duration().prefault('60s'), rto: duration().prefault('5m') }),
  })
}

export type FileSchema = ReturnType<typeof fileSchema>

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return name !== ''
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

/** The keys allowed at a path of the file, for suggestions. */
export function knownKeys(schema: z.core.$ZodType, steps: readonly (string | number)[]): string[] {
  const inner = unwrapped(schema)
  if (inner instanceof z.ZodArray) return knownKeys(inner.element, steps.slice(1))
  if (!(inner instanceof z.ZodObject)) return []
  const [step, ...rest] = steps
  if (step === undefined) return Object.keys(inner.shape)
  const next = inner.shape[String(step)]
  return next === undefined ? [] : knownKeys(next, rest)
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodPipe) return unwrapped(schema.out)
  if (schema instanceof z.ZodExactOptional || schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault) return unwrapped(schema.def.innerType)
  return schema
}
