// Vitest's report for CI: a line for each file, and of each failure what fits a log that is read in excerpts. All of it is in .cache/test-results.
const mostCharacters = 500

export default class CompactReporter {
  onTestModuleEnd(module) {
    const tests = [...module.children.allTests()]
    const failed = tests.filter((test) => test.result().state === 'failed')
    const errors = module.errors()
    const durationMs = Math.round(module.diagnostic().duration)
    if (failed.length + errors.length === 0) return console.log(` ok ${module.relativeModuleId} (${tests.length} tests) ${durationMs} ms`)
    console.log(` not ok ${module.relativeModuleId} (${tests.length} tests, ${failed.length} failed) ${durationMs} ms`)
    this.#tell(module.relativeModuleId, errors)
    for (const test of failed) this.#tell(`${module.relativeModuleId} > ${test.fullName}`, test.result().errors)
  }

  onTestRunEnd(modules, unhandledErrors, reason) {
    this.#tell('outside of any test', unhandledErrors)
    const tests = modules.flatMap((module) => [...module.children.allTests()].map((test) => ({ name: `${module.relativeModuleId} > ${test.fullName}`, state: test.result().state })))
    for (const { name, state } of tests) if (state === 'failed') console.log(` failed: ${name}`)
    console.log(` ${reason}: ${tests.length} tests in ${modules.length} files`)
  }

  #tell(where, errors) {
    for (const error of errors ?? []) {
      const place = error.stacks?.[0]
      const text = [error.message, error.diff, place && `at ${place.file}:${place.line}`].filter(Boolean).join('\n')
      console.log(`   ${where}\n${text.slice(0, mostCharacters).replace(/^/gm, '     ')}`)
    }
  }
}
