// npm run build: joins what tsc made of src/, and the packages that it uses, into dist/prom-dr.cjs and chunks beside it, and has V8 compile them:
// Node takes longer to find, load and compile a thousand small modules than most commands take to run. Packages with binaries of their own stay outside.
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { build } from 'rolldown'
import { compile, compiledPath, sealCompiled } from './load-bundle.js'

const dist = fileURLToPath(new URL('../dist/', import.meta.url))
const dayMs = 86_400_000

const { output } = await build({
  input: { 'prom-dr': join(dist, 'main.js') },
  platform: 'node',
  // What packages offer as ES modules can be thinned out: of the S3 client a third is left.
  resolve: { mainFields: ['module', 'main'] },
  external: ['snappy', '@node-rs/crc32'],
  output: {
    dir: dist, format: 'cjs', dynamicImportInCjs: false, entryFileNames: 'prom-dr.cjs', chunkFileNames: 'prom-dr-[name]-[hash].cjs',
    // Node keeps the text of what it runs in memory, with a byte for each character where all are ASCII, and two where one is not.
    comments: { legal: true, annotation: false, jsdoc: false },
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: false, asciiOnly: true } },
  },
  logLevel: 'warn',
  onwarn(warning, warn) {
    // Of packages: nothing that we could change.
    if (!warning.message.includes('node_modules')) warn(warning)
  },
})

// Every function, not only those that run when a file is loaded.
for (const path of output.map(({ fileName }) => join(dist, fileName))) {
  setFlagsFromString('--no-lazy')
  const source = readFileSync(path)
  const script = compile(path, { source })
  // Flags are part of what a compiled form has to agree with.
  setFlagsFromString('--lazy')
  writeFileSync(compiledPath(path), sealCompiled(source, script.createCachedData()))
}

// A process of the build before may still want to load one of its chunks.
const made = new Set(output.flatMap(({ fileName }) => [fileName, compiledPath(fileName)]))
for (const name of readdirSync(dist)) {
  const isStale = /^prom-dr(-.*)?\.c?js(\.v8)?$/.test(name) && !made.has(name) && Date.now() - statSync(join(dist, name)).mtimeMs > dayMs
  if (isStale) rmSync(join(dist, name))
}
