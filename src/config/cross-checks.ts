import { checkComponents } from './component-checks.ts'
import type { Path, Problem } from './problems.ts'

type Mapping = Readonly<Record<string, unknown>>

/**
 * Mistakes that lie between values. Looks at the unchecked content, so that they are reported together with
 * the mistakes inside values.
 */
export function crossChecks(content: unknown): Problem[] {
  const prometheus = mapping(mapping(content)?.['prometheus'])
  const repositories = mapping(content)?.['repositories']
  const components = mapping(mapping(content)?.['components'])
  return [...checkPrometheus(prometheus ?? {}), ...checkComponents(components ?? {}), ...checkEncryption(mapping(mapping(content)?.['encryption']) ?? {}), ...(Array.isArray(repositories) ? checkRepositories(repositories) : [])]
}

function checkPrometheus(prometheus: Mapping): Problem[] {
  const problems: Problem[] = []
  const auth = mapping(prometheus['basicAuth'])
  const tls = mapping(prometheus['tls'])
  const authPath = ['prometheus', 'basicAuth']
  if (auth !== undefined) {
    const given = [auth['password'], auth['passwordFile']].filter((value) => value !== undefined)
    if (given.length === 0) problems.push({ path: authPath, message: 'needs password or passwordFile' })
    if (given.length === 2) problems.push({ path: authPath, message: 'has both password and passwordFile: keep one' })
    if (prometheus['bearerTokenFile'] !== undefined) problems.push({ path: authPath, message: 'stands beside bearerTokenFile: keep one' })
  }
  if (tls !== undefined) problems.push(...needsBoth(tls, ['certFile', 'keyFile'], ['prometheus', 'tls']))
  return problems
}

function checkEncryption(encryption: Mapping): Problem[] {
  const problems: Problem[] = []
  const path = ['encryption']
  const { recipients } = encryption
  if (encryption['passphrase'] !== undefined && encryption['passphraseFile'] !== undefined) problems.push({ path, message: 'has both passphrase and passphraseFile: keep one' })
  const seals = Array.isArray(recipients) && recipients.length > 0
  if ((encryption['data'] === true || encryption['data'] === 'true') && !seals) {
    problems.push({ path: [...path, 'data'], message: 'needs recipients: a passphrase takes a second for each object, and there are thousands' })
  }
  return problems
}

function checkRepositories(repositories: readonly unknown[]): Problem[] {
  const problems: Problem[] = []
  for (const [index, item] of repositories.entries()) {
    const repository = mapping(item)
    if (repository === undefined) continue
    for (const key of ['name', 'url']) {
      const first = repositories.findIndex((other) => mapping(other)?.[key] === repository[key])
      if (repository[key] !== undefined && first < index) {
        problems.push({ path: ['repositories', index, key], message: `is the same as that of repositories[${first}]: each repository needs its own` })
      }
    }
    const s3 = mapping(repository['s3'])
    const path = ['repositories', index, 's3']
    if (s3 === undefined) continue
    problems.push(...needsBoth(s3, ['accessKeyId', 'secretAccessKey'], path))
    if (s3['sessionToken'] !== undefined && s3['accessKeyId'] === undefined) problems.push({ path, message: 'has sessionToken without accessKeyId' })
    if (s3['profile'] !== undefined && s3['accessKeyId'] !== undefined) problems.push({ path, message: 'has both profile and accessKeyId: keep one' })
    if (typeof repository['url'] === 'string' && !repository['url'].startsWith('s3://')) {
      problems.push({ path, message: 'is given for a repository whose url is not s3://' })
    }
  }
  return problems
}

function needsBoth(map: Mapping, keys: readonly [string, string], path: Path): Problem[] {
  const missing = keys.filter((key) => map[key] === undefined)
  const present = keys.filter((key) => map[key] !== undefined)
  return missing.length === 1 ? [{ path, message: `has ${present[0]} without ${missing[0]}` }] : []
}

function mapping(value: unknown): Mapping | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Mapping) : undefined
}
