import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

/** Compares with test/golden/<name>. PROM_DR_TEST_UPDATE_GOLDEN=1 writes the file instead: read the diff before it is committed. */
export async function expectGolden(name: string, text: string): Promise<void> {
  const path = fileURLToPath(new URL(`../golden/${name}`, import.meta.url))
  if (process.env['PROM_DR_TEST_UPDATE_GOLDEN'] === '1') {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  expect(text, `differs from test/golden/${name}`).toBe(await readFile(path, 'utf8'))
}
