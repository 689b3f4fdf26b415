// Vitest's report for CI: a line for each file, and of each failure what fits a log that is read in excerpts. All of it is in .cache/test-results.
// A file that stands still is named with where it stands, its worker is killed, and the run goes on.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { processesBelow, signal, standing, startedAtMs, workersOf } from './standstill.js'

const mostCharacters = 500
const lookEveryMs = 2_000
/** Names the files whose workers were killed, one a line, where nothing else was wrong with the run. */
const stoodStill = join('.cache', 'test-results', 'stood-still')

export default class CompactReporter {
  /** Files that have not ended, by module: since when a worker has them, and what was heard of them last. */
  #left = new Map()
  #stoodStill = new Set()
  #heardAtMs = Date.now()
  #limitMs = Number.POSITIVE_INFINITY
  #root = '.'
  #watch

  onInit({ config }) {
    this.#root = config.root
    // Hooks and tests end after their time limit at the latest, and then something is heard.
    this.#limitMs = Number(process.env['PROM_DR_TEST_STILL_MS'] ?? 2 * Math.max(config.testTimeout, config.hookTimeout))
  }

  onTestRunStart(specifications) {
    for (const { moduleId } of specifications) this.#left.set(moduleId, { name: relative(this.#root, moduleId), last: 'nothing' })
    this.#watch = setTimeout(() => this.#look(), lookEveryMs)
  }

  onTestModuleQueued(module) {
    this.#hear(module, 'a worker has it')
    Object.assign(this.#left.get(module.moduleId) ?? {}, { givenAtMs: Date.now() })
  }

  onTestModuleCollected(module) {
    this.#hear(module, 'it was loaded')
  }

  onTestCaseReady(test) {
    this.#hear(test.module, `"${test.fullName}" began`)
  }

  onTestCaseResult(test) {
    this.#hear(test.module, `"${test.fullName}" ended`)
  }

  onHookStart({ name, entity }) {
    this.#hear(entity.module ?? entity, `${name} of "${entity.fullName ?? entity.relativeModuleId}" began`)
  }

  onHookEnd({ name, entity }) {
    this.#hear(entity.module ?? entity, `${name} of "${entity.fullName ?? entity.relativeModuleId}" ended`)
  }

  onTestModuleEnd(module) {
    this.#hear(module, 'it ended')
    this.#left.delete(module.moduleId)
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
    clearTimeout(this.#watch)
    this.#tell('outside of any test', unhandledErrors)
    const tests = modules.flatMap((module) => [...module.children.allTests()].map((test) => ({ name: `${module.relativeModuleId} > ${test.fullName}`, state: test.result().state })))
    for (const { name, state } of tests) if (state === 'failed') console.log(` failed: ${name}`)
    console.log(` ${reason}: ${tests.length} tests in ${modules.length} files`)
    const others = modules.filter((module) => !this.#stoodStill.has(module.relativeModuleId))
    const rest = unhandledErrors.length - this.#stoodStill.size
    if (this.#stoodStill.size === 0 || rest > 0 || !others.every((module) => module.ok())) return
    mkdirSync(dirname(stoodStill), { recursive: true })
    writeFileSync(stoodStill, [...this.#stoodStill, ''].join('\n'))
  }

  #hear({ moduleId }, last) {
    this.#heardAtMs = Date.now()
    Object.assign(this.#left.get(moduleId) ?? {}, { last, heardAtMs: this.#heardAtMs })
  }

  async #look() {
    const beforeMs = Date.now() - this.#limitMs
    if ([...this.#left.values()].some(({ heardAtMs = this.#heardAtMs }) => heardAtMs < beforeMs)) await this.#endOldest(beforeMs)
    this.#watch = setTimeout(() => this.#look(), lookEveryMs)
  }

  /** Which worker has which file is not known from outside: all that are as old as the one that stands still are ended. */
  async #endOldest(beforeMs) {
    for (const [moduleId, { name, last, givenAtMs = this.#heardAtMs, heardAtMs = this.#heardAtMs }] of [...this.#left]) {
      if (givenAtMs > beforeMs) continue
      console.log(` stood still: ${name}, the last that was heard of it, ${Math.round((Date.now() - heardAtMs) / 1000)} s ago: ${last}`)
      this.#left.delete(moduleId)
      this.#stoodStill.add(name)
    }
    for (const worker of workersOf(processesBelow(process.pid)).filter(({ pid }) => startedAtMs(pid) <= beforeMs)) {
      const below = processesBelow(worker.pid)
      const lines = [`worker ${worker.pid} (${worker.state})`, ...(await standing(worker)), ...below.map(({ pid, state, command }) => `below it ${pid} (${state}) ${command}`)]
      for (const line of lines) console.log(`   ${line.slice(0, 300)}`)
      for (const { pid } of [worker, ...below]) signal(pid, 'SIGKILL')
    }
  }

  #tell(where, errors) {
    for (const error of errors ?? []) {
      const place = error.stacks?.[0]
      const text = [error.message, error.diff, place && `at ${place.file}:${place.line}`].filter(Boolean).join('\n')
      console.log(`   ${where}\n${text.slice(0, mostCharacters).replace(/^/gm, '     ')}`)
    }
  }
}
