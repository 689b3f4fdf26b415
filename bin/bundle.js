// npm run build: joins what tsc made of src/, and the packages that it uses, into dist/prom-dr.js and chunks beside it. Node takes longer to
// find and to load a thousand small modules than most commands take to run. Packages with binaries of their own stay outside.
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'

const dist = fileURLToPath(new URL('../dist/', import.meta.url))
const dayMs = 86_400_000

const { output } = await build({
  input: { 'prom-dr': join(dist, 'main.js') },
  platform: 'node',
  // What packages offer as ES modules can be thinned out: of the S3 client a third is left, which loads in half the time.
  resolve: { mainFields: ['module', 'main'] },
  external: ['snappy', '@node-rs/crc32'],
  output: { dir: dist, format: 'esm', entryFileNames: '[name].js', chunkFileNames: 'prom-dr-[name]-[hash].js' },
  logLevel: 'warn',
  onwarn(warning, warn) {
    // Of packages: nothing that we could change.
    if (!warning.message.includes('node_modules')) warn(warning)
  },
})

// A process of the build before may still want to load one of its chunks.
const made = new Set(output.map(({ fileName }) => fileName))
for (const name of readdirSync(dist)) {
  const isStale = /^prom-dr-.*\.js$/.test(name) && !made.has(name) && Date.now() - statSync(join(dist, name)).mtimeMs > dayMs
  if (isStale) rmSync(join(dist, name))
}
