// node .ci/summary.js RESULTS_DIR FAILED_STEPS: adds up vitest's JSON reports and prints "N passed, N failed" alone on a line.
// A file that could not be loaded, a run that broke off and a step that failed without saying in which test all count as failed.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const [folder, failedSteps] = [process.argv[2], Number(process.argv[3])]
const reports = existsSync(folder) ? readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8'))) : []

let passed = 0
let failed = 0
let skipped = 0
for (const report of reports) {
  passed += report.numPassedTests
  skipped += report.numPendingTests + report.numTodoTests
  const unloaded = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'))
  failed += report.numFailedTests + unloaded.length
}
if (failed === 0 && (failedSteps > 0 || reports.length === 0)) failed = Math.max(failedSteps, 1)
if (skipped > 0) console.log(`${skipped} skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
