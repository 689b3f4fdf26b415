import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Encryption } from '../../src/domain/encryption.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { ageWith, newKeyPair, writeIdentityFile } from '../support/age.ts'
import { knownRepository, makeArchive, treeOf, writeTree } from '../support/archived.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { componentsContext, directoryComponent } from '../support/components.ts'
import { missingPrograms } from '../support/programs.ts'
import { follow, onlyShellOf, withNames } from '../support/runbook.ts'

const runbook = new URL('../../runbooks/components-by-hand.md', import.meta.url)
const files = { 'prometheus.yml': 'global: {}\n', 'rules/größe.yml': 'groups: []\n', [`${'deep/'.repeat(40)}a.yml`]: 'x' }

describe.skipIf(missingPrograms('jq', 'bash', 'tar', 'age'))('runbooks/components-by-hand.md', () => {
  it('brings the files of an archive back without prom-dr', async () => {
    const { parent, script, target } = await archived(undefined, 'no key')
    const printed = await follow(script, parent)
    const digests = printed.match(/[0-9a-f]{64}(?=  -|"\})/g) ?? []
    expect(digests[0]).toBe(digests[1])
    expect(printed).toContain('prometheus  3 files, left out: /secret')
    expect(await treeOf(target)).toEqual(files)
  })

  it('brings those of an encrypted one back with the stock age', async () => {
    const { identity, recipient } = await newKeyPair()
    const { parent, script, target } = await archived(ageWith([recipient]), await writeIdentityFile(await temporaryDirectory('key'), identity))
    await follow(script, parent)
    expect(await treeOf(target)).toEqual(files)
  })

  it('says so where the archive is damaged', async () => {
    const { parent, script } = await archived(undefined, 'no key')
    const damage = 'f=$(find archives -name "*.tar.gz"); printf x | dd of="$f" bs=1 seek=20 conv=notrunc status=none\n'
    await expect(follow(script.replace('\nC=', `\n${damage}C=`), parent)).rejects.toMatchObject({ stdout: expect.stringContaining('FAILED') })
  })
})

async function archived(encryption: Encryption | undefined, keyFile: string) {
  const [parent, source] = [await temporaryDirectory('by-hand'), await temporaryDirectory('source')]
  await writeTree(source, files)
  const store = await knownRepository(createFileStore({ root: join(parent, 'repository') }))
  const { recoveryPoint } = await makeArchive(store, componentsContext([directoryComponent('prometheus', source)], { encryption }))
  await rename(join(parent, 'repository'), join(parent, 'repo'))
  const target = join(parent, 'restored')
  const names = [['20261121T051500Z-ab12cd34', recoveryPoint.id], ['T=/root/restored', `T='${target}'`], ['KEY=/root/key.txt', `KEY='${keyFile}'`]] as const
  return { parent, target, script: withNames(onlyShellOf(await readFile(runbook, 'utf8')), names) }
}
