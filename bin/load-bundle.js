// Runs the bundle, which is CommonJS, with what V8 compiled of it when it was built (bin/bundle.js): compiling it anew takes longer than most
// commands. What another version of V8 has compiled is rejected by this one, and the source compiled as usual.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'

/** Where the compiled form of a file of the bundle lies. */
export const compiledPath = (path) => `${path}.v8`

/** A file of the bundle as a function of what CommonJS gives its modules. */
export function compile(path, cachedData) {
  return new Script(`(function (exports, require, module, __filename, __dirname) {${readFileSync(path, 'utf8')}\n})`, { filename: path, cachedData })
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
    const compiled = existsSync(compiledPath(path)) ? readFileSync(compiledPath(path)) : undefined
    const require = (id) => (id.startsWith('./') ? load(join(dirname(path), id)) : requireOutside(id))
    compile(path, compiled).runInThisContext()(module.exports, require, module, path, dirname(path))
    return module.exports
  }
  return load(entry)
}
