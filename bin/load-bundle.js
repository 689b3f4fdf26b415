// Runs the bundle, which is CommonJS, with what V8 compiled of it when it was built (bin/bundle.js): compiling it anew takes longer than most
// commands. What another version of V8 has compiled is rejected by this one, and the source compiled as usual.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'

/** Where the compiled form of a file of the bundle lies. */
export const compiledPath = (path) => `${path}.v8`

/** A file of the bundle as a function of what CommonJS gives its modules. */
export function compile(path, { source = readFileSync(path), cachedData } = {}) {
  return new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, { filename: path, cachedData })
}

const digestBytes = 32
const digestOf = (source, compiled) => createHash('sha256').update(source).update(compiled).digest()

/** The compiled form as it is stored: V8 knows a source by its length alone, and runs damaged bytes into a crash, so that a digest of both goes before it. */
export const sealCompiled = (source, compiled) => Buffer.concat([digestOf(source, compiled), compiled])

/** The compiled form of this source; undefined when there is none, or it is damaged or of another source. */
export function readCompiled(path, source) {
  if (!existsSync(compiledPath(path))) return undefined
  const stored = readFileSync(compiledPath(path))
  const compiled = stored.subarray(digestBytes)
  return digestOf(source, compiled).equals(stored.subarray(0, digestBytes)) ? compiled : undefined
}

/** The exports of the bundle that begins with this file. */
export function loadBundle(entry) {
  const modules = new Map()
  const requireOutside = createRequire(entry)
  const load = (path) => {
    const known = modules.get(path)
    if (known !== undefined) return known.exports
    const module = { exports: {} }
    modules.set(path, module)
    const source = readFileSync(path)
    const require = (id) => (id.startsWith('./') ? load(join(dirname(path), id)) : requireOutside(id))
    compile(path, { source, cachedData: readCompiled(path, source) }).runInThisContext()(module.exports, require, module, path, dirname(path))
    return module.exports
  }
  return load(entry)
}
