import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isSameContent } from '../../../src/components/placing/file-access.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'

test.each([0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 700_000])('of %d bytes two files are the same, until their last byte differs', async (sizeBytes) => {
  const directory = await temporaryDirectory('same')
  const [one, other] = [join(directory, 'one'), join(directory, 'other')]
  const bytes = Buffer.alloc(sizeBytes, 'prom-dr ')
  await writeFile(one, bytes)
  await writeFile(other, bytes)
  expect(await isSameContent(one, other)).toBe(true)
  if (sizeBytes === 0) return
  bytes[sizeBytes - 1] = 0
  await writeFile(other, bytes)
  expect(await isSameContent(one, other)).toBe(false)
})
