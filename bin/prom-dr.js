#!/usr/bin/env node
// The launcher: everything is in src/, compiled to dist/. The only place that exits.
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`warning: prom-dr needs Node 20.19 or later; this is ${process.versions.node}\n`)
}
const changedAt = (path) => statSync(new URL(path, import.meta.url), { throwIfNoEntry: false })?.mtimeMs
const [bundle, modules] = ['../dist/prom-dr.cjs', '../dist/main.js']
// A bundle that is older than the modules is not of them: somebody ran tsc alone.
const built = (changedAt(bundle) ?? 0) >= (changedAt(modules) ?? 0) ? bundle : modules
if (changedAt(built) !== undefined) {
  const { main } = built === bundle ? (await import('./load-bundle.js')).loadBundle(fileURLToPath(new URL(bundle, import.meta.url))) : await import(modules)
  const code = await main()
  // What was printed into a pipe is still on its way: connections that linger must not keep us, nor must we cut it off.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
} else {
  process.stderr.write('error: prom-dr is not built\nhint: run "npm ci && npm run build" in its directory\n')
  process.exitCode = 1
}
