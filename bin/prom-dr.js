#!/usr/bin/env node
// The launcher: everything is in src/, compiled to dist/. The only place that exits.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`warning: prom-dr needs Node 20.19 or later; this is ${process.versions.node}\n`)
}
const built = fileURLToPath(new URL('../dist/main.js', import.meta.url))
if (existsSync(built)) {
  const { main } = await import('../dist/main.js')
  const code = await main()
  // What was printed into a pipe is still on its way: connections that linger must not keep us, nor must we cut it off.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
} else {
  process.stderr.write('error: prom-dr is not built\nhint: run "npm ci && npm run build" in its directory\n')
  process.exitCode = 1
}
