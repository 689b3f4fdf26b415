import { availableParallelism } from 'node:os'
import { configDefaults, defineConfig } from 'vitest/config'
import { workerFlags } from './.ci/standstill.js'

/** `*.full.test.ts` are the long ones, `*.matrix.test.ts` run against other versions of the programs: `vitest run --mode full|matrix`. */
function filesOf(mode: string): { include: string[]; exclude: string[] } {
  const long = 'test/**/*.full.test.ts'
  const matrix = 'test/**/*.matrix.test.ts'
  if (mode === 'matrix') return { include: [matrix], exclude: configDefaults.exclude }
  if (mode === 'full') return { include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, matrix] }
  return { include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, long, matrix] }
}

export default defineConfig(({ mode }) => ({
  test: {
    ...filesOf(mode),
    // All files of a run share one S3 server: in the matrix it is the gateway of Debian sid.
    ...(mode === 'matrix' && { env: { PROM_DR_TEST_RGW: process.env['PROM_DR_TEST_RGW'] ?? '20' } }),
    globalSetup: ['test/support/s3-global-setup.ts'],
    setupFiles: ['test/support/as-the-program.ts'],
    pool: 'forks',
    ...(process.env['CI'] === 'true' && { execArgv: workerFlags }),
    // Tests with real programs wait more than they compute, so that one more than the cores keeps a small machine busy.
    maxWorkers: availableParallelism() + 1,
    // A machine that does other work too may be four times as slow.
    testTimeout: mode === 'test' ? 240_000 : 600_000,
    hookTimeout: mode === 'test' ? 240_000 : 600_000,
    teardownTimeout: 30_000,
    reporters: process.env['CI'] === 'true' ? ['./.ci/reporter.js', ['json', { outputFile: `.cache/test-results/${mode}.json${process.env['PROM_DR_TEST_AGAIN'] ?? ''}` }]] : ['default'],
  },
}))
