import { dirname, join, resolve } from 'node:path'
import { retentionOf } from '../domain/retention.ts'
import { defaultPrices } from '../domain/storage-cost.ts'
import { PromDrError } from '../errors.ts'
import type { Config } from './config.ts'
import { crossChecks } from './cross-checks.ts'
import { configVariable, givenSettings, misspeltSettings, variablesFrom } from './environment.ts'
import type { ConfigFiles } from './fields.ts'
import { type Path, type Problem, configInvalid, problemsOf } from './problems.ts'
import { type FileSchema, fileSchema, knownKeys } from './schema.ts'
import { type ConfigDocument, parseConfigDocument, variablesIn } from './yaml-document.ts'
import type { z } from 'zod'

export interface ConfigSurroundings {
  /** `--config`; wins over everything else. */
  file?: string
  env: NodeJS.ProcessEnv
  workingDir: string
  hostName: string
  files: ConfigFiles
}

/**
 * The configuration from the file, if there is one, and the environment, which wins over it.
 * @throws CONFIG_INVALID with every mistake there is, each with its line or its variable
 */
export function loadConfig(surroundings: ConfigSurroundings): Config {
  const { workingDir, files } = surroundings
  const found = findFile(surroundings)
  const source = found?.path ?? null
  const baseDir = source === null ? workingDir : dirname(source)
  const variables = variablesFrom(surroundings.env, files.readText(join(baseDir, '.env')))
  const document = parseConfigDocument(found?.text ?? '', variables)
  const used = variablesIn(found?.text ?? '')
  const problems = [...document.problems, ...misspeltSettings(variables, used)]
  if (found !== undefined && document.content === undefined && document.problems.length > 0) throw configInvalid(source, problems)

  const merged = withEnvironment(document, variables)
  problems.push(...merged.problems)
  const schema = fileSchema({ baseDir, workingDir, hostName: surroundings.hostName, files })
  const result = schema.safeParse(merged.content)
  const schemaProblems = result.success ? [] : result.error.issues.flatMap((issue) => problemsOf(issue, (path) => knownKeys(schema, path)))
  problems.push(...[...schemaProblems, ...crossChecks(merged.content)].map((problem) => located(problem, document, merged.variableOf)))
  if (!result.success || problems.length > 0) throw configInvalid(source, problems)
  return deepFreeze(toConfig(source, result.data))
}

function findFile(surroundings: ConfigSurroundings): { path: string; text: string } | undefined {
  const { workingDir, files, env } = surroundings
  const named = surroundings.file ?? (env[configVariable] || undefined)
  if (named !== undefined) {
    const path = resolve(workingDir, named)
    const text = files.readText(path)
    if (text !== undefined) return { path, text }
    const [by, unnamed] = surroundings.file === undefined ? [configVariable, `env -u ${configVariable} `] : ['--config', '']
    throw new PromDrError('CONFIG_INVALID', `the configuration file ${path} does not exist`, {
      hint: `it was named by ${by}; "${unnamed}prom-dr init --output ${path}" writes one`,
    })
  }
  for (const path of [join(workingDir, 'prom-dr.yml'), '/etc/prom-dr/prom-dr.yml']) {
    const text = files.readText(path)
    if (text !== undefined) return { path, text }
  }
  return undefined
}

interface Merged {
  content: unknown
  problems: Problem[]
  variableOf: (path: Path) => string | undefined
}

function withEnvironment(document: ConfigDocument, variables: ReadonlyMap<string, string>): Merged {
  const content = document.content ?? {}
  const given = givenSettings(variables)
  const problems: Problem[] = []
  if (typeof content !== 'object' || Array.isArray(content)) return { content, problems, variableOf: () => undefined }
  const repositoriesInFile = (content as Record<string, unknown>)['repositories'] !== undefined
  const assigned = new Map<string, string>()
  for (const { variable, path, value } of given) {
    if (path[0] === 'repositories' && repositoriesInFile) {
      problems.push({ path: [], variable, message: 'is set while the file has repositories: keep one of the two' })
      continue
    }
    if (assign(content as Record<string, unknown>, path, value)) assigned.set(path.join('.'), variable)
  }
  nameRepository(content as Record<string, unknown>, assigned, problems)
  return { content, problems, variableOf: (path) => assigned.get(path.join('.')) }
}

/** A repository that is given by variables needs its URL; its name has a default. */
function nameRepository(content: Record<string, unknown>, assigned: ReadonlyMap<string, string>, problems: Problem[]): void {
  const variable = [...assigned].find(([path]) => path.startsWith('repositories.'))?.[1]
  if (variable === undefined) return
  const [repository] = content['repositories'] as Record<string, unknown>[]
  if (repository === undefined) return
  repository['name'] ??= 'default'
  if (repository['url'] !== undefined) return
  problems.push({ path: [], variable, message: 'is set without PROM_DR_REPOSITORY_URL' })
  delete content['repositories']
}

/** False where the file has something else than a mapping on the way; the schema tells about that. */
function assign(content: Record<string, unknown>, path: Path, value: unknown): boolean {
  let place: Record<string | number, unknown> = content
  for (const [index, step] of path.slice(0, -1).entries()) {
    place[step] ??= typeof path[index + 1] === 'number' ? [] : {}
    const next = place[step]
    if (typeof next !== 'object' || next === null) return false
    place = next as Record<string | number, unknown>
  }
  place[path.at(-1) ?? ''] = value
  return true
}

function located(problem: Problem, document: ConfigDocument, variableOf: (path: Path) => string | undefined): Problem {
  const variable = variableOf(problem.path)
  if (variable !== undefined) return { ...problem, variable }
  const line = document.lineOf(problem.path)
  return line === undefined ? problem : { ...problem, line }
}

function toConfig(source: string | null, file: z.infer<FileSchema>): Config {
  const { timeout, ...prometheus } = file.prometheus
  const { retention, ...restore } = file.restore
  const { uploadPerSecond, downloadPerSecond, retryBudget, ...transfer } = file.transfer
  return {
    source,
    instance: file.instance,
    prometheus: { ...prometheus, timeoutMs: timeout },
    repositories: file.repositories.map(({ s3, retention, ...repository }) => ({ ...repository, ...(s3 !== undefined && { s3: toS3(s3) }), retention: { ...retentionOf(retention) }, tiers: s3?.tiers ?? {} })),
    backup: file.backup,
    ship: {
      intervalMs: file.ship.interval, partBytes: file.ship.maxBytes, holdBytes: file.ship.holdLimit, windowMs: file.ship.window, niceness: file.ship.niceness, cpuCores: file.ship.cpuLimit, backupAfterGap: file.ship.backupAfterGap,
      ...(file.ship.metricsFile !== undefined && { metricsFile: file.ship.metricsFile }),
    },
    restore: { ...restore, ...(retention !== undefined && { retentionMs: retention }) },
    components: file.components,
    transfer: {
      ...transfer,
      retryBudgetMs: retryBudget,
      ...(uploadPerSecond !== undefined && { uploadBytesPerSecond: uploadPerSecond }),
      ...(downloadPerSecond !== undefined && { downloadBytesPerSecond: downloadPerSecond }),
    },
    encryption: file.encryption,
    objectives: { rpoMs: file.objectives.rpo, rtoMs: file.objectives.rto },
    prices: { currency: file.prices.currency ?? defaultPrices.currency, perGibMonth: { ...defaultPrices.perGibMonth, ...file.prices.perGibMonth } },
  }
}

function toS3(s3: NonNullable<z.infer<FileSchema>['repositories'][number]['s3']>): NonNullable<Config['repositories'][number]['s3']> {
  const { partSize, tiers: _, ...rest } = s3
  return partSize === undefined ? rest : { ...rest, partSizeBytes: partSize }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}
