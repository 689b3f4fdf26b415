import { builtInComponents, reservedNames } from './components-config.ts'
import type { Path, Problem } from './problems.ts'

type Mapping = Readonly<Record<string, unknown>>

/** Mistakes that lie between the values of `components`; looks at the unchecked content. */
export function checkComponents(components: Mapping): Problem[] {
  return [...checkNames(components), ...checkAccess(components, 'alertmanager', 'bearerTokenFile'), ...checkAccess(components, 'grafana', 'tokenFile')]
}

/** A name is an archive's folder and a word of `--only`: it stands for one thing. */
function checkNames(components: Mapping): Problem[] {
  const problems: Problem[] = []
  const taken = new Map<unknown, string>(builtInComponents.filter((name) => components[name] !== undefined).map((name) => [name, `components.${name}`]))
  for (const list of ['files', 'commands']) {
    const items = components[list]
    for (const [index, item] of (Array.isArray(items) ? items : []).entries()) {
      const name = mapping(item)?.['name']
      const path: Path = ['components', list, index, 'name']
      const first = taken.get(name)
      if (typeof name === 'string' && reservedNames.includes(name)) problems.push({ path, message: `is ${name}, which means something else: choose another` })
      else if (first !== undefined) problems.push({ path, message: `is the same as that of ${first}: each component needs its own` })
      else if (name !== undefined) taken.set(name, `components.${list}[${index}]`)
    }
  }
  return problems
}

function checkAccess(components: Mapping, name: string, tokenKey: string): Problem[] {
  const server = mapping(components[name])
  const auth = mapping(server?.['basicAuth'])
  const tls = mapping(server?.['tls'])
  const path: Path = ['components', name, 'basicAuth']
  const problems: Problem[] = []
  if (auth !== undefined) {
    const given = [auth['password'], auth['passwordFile']].filter((value) => value !== undefined).length
    if (given !== 1) problems.push({ path, message: given === 0 ? 'needs password or passwordFile' : 'has both password and passwordFile: keep one' })
    if (server?.[tokenKey] !== undefined) problems.push({ path, message: `stands beside ${tokenKey}: keep one` })
  }
  const pair = ['certFile', 'keyFile'].filter((key) => tls?.[key] !== undefined)
  if (pair.length === 1) problems.push({ path: ['components', name, 'tls'], message: `has ${pair[0]} without ${pair[0] === 'certFile' ? 'keyFile' : 'certFile'}` })
  return problems
}

function mapping(value: unknown): Mapping | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Mapping) : undefined
}
