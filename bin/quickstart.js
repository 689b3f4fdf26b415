#!/usr/bin/env node
// npm run quickstart: sets up what is missing, then shows a Prometheus lost and brought back.
// package.json starts it with exec: npm hands a signal to the shell it starts, and the shell would keep it for itself.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const setUp = fileURLToPath(new URL('setup.js', import.meta.url))
const { status } = spawnSync(process.execPath, [setUp, '--for', 'quickstart'], { stdio: 'inherit' })
if (status === 0) {
  const { runQuickstart } = await import('../dist/quickstart/main.js')
  process.exitCode = await runQuickstart(process.argv.slice(2))
} else {
  process.exitCode = status ?? 1
}
