// node .ci/summary.js RESULTS_DIR FAILED_STEPS: adds up vitest's JSON reports and prints "N passed, N failed" alone on a line.
// A file that could not be loaded, a run that broke off and a step that failed without saying in which test all count as failed.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const [folder, failedSteps] = [process.argv[2], Number(process.argv[3])]
// What was run again is read last: "test.json", then "test.json.again".
const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.includes('.json')).sort() : []
const reports = names.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))

// A file that was run again counts as it ended then.
const files = new Map(reports.flatMap((report) => report.testResults.map((file) => [file.name, file])))
const results = [...files.values()]
const count = (...states) => results.flatMap((file) => file.assertionResults).filter(({ status }) => states.includes(status)).length
const passed = count('passed')
const skipped = count('pending', 'skipped', 'todo', 'disabled')
// One without a single test, or that failed outside of its tests, could not be loaded or broke off.
const unloaded = results.filter((file) => file.assertionResults.length === 0 || (file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed')))
let failed = count('failed') + unloaded.length
if (failed === 0 && (failedSteps > 0 || reports.length === 0)) failed = Math.max(failedSteps, 1)
if (skipped > 0) console.log(`${skipped} skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
