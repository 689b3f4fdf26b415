import { mkdir, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, type TestContext } from 'vitest'
import type { Component, RestoredComponent } from '../../src/components/component.ts'
import { isComponentName } from '../../src/domain/archive.ts'
import { PromDrError } from '../../src/errors.ts'
import { packDirectory } from '../../src/packing/pack-directory.ts'
import { rejectionOf } from '../support/operations.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

export interface ComponentSubject {
  component: Component
  /** What the component's own place or program holds now, to be compared; what restores moved aside is not part of it. */
  state(): Promise<unknown>
  /** Changes something that is collected. */
  change(): Promise<void>
  /** A secret among what is collected, where it has any. */
  secret?: string
  dispose?(): Promise<void>
}

const signal = () => new AbortController().signal
const wanted = (more: Partial<Parameters<Component['restore']>[1]> = {}) => ({ force: false, dryRun: false, parts: [], signal: signal(), ...more })

/** Every component passes this suite; `open` makes one with something to collect for each test (or skips the test). */
export function componentContract(name: string, open: (context: TestContext) => Promise<ComponentSubject>): void {
  describe(`${name} keeps the contract of a component:`, () => {
    let subject: ComponentSubject
    let component: Component

    beforeEach(async (context) => {
      subject = await open(context)
      component = subject.component
    })
    afterEach(() => subject?.dispose?.())

    async function collect(options: { secrets: boolean } = { secrets: true }): Promise<string> {
      const into = join(await temporaryDirectory(), 'collected')
      await mkdir(into, { mode: 0o700 })
      await component.collect(into, { ...options, signal: signal() })
      return into
    }

    async function digestOf(directory: string): Promise<string> {
      return (await packDirectory(directory, { path: join(await temporaryDirectory(), 'packed'), signal: signal() })).contentSha256
    }

    test('it has a name that an archive can have, and a kind', () => {
      expect(isComponentName(component.name)).toBe(true)
      expect(component.kind).toMatch(/^[a-z]/)
    })

    test('it says what it found of everything it needs, with advice where something lacks, and changes nothing', async () => {
      const before = await subject.state()
      const findings = await component.discover({ signal: signal() })
      expect(findings.length).toBeGreaterThan(0)
      for (const finding of findings) expect(finding.level === 'ok' || finding.advice !== undefined, JSON.stringify(finding)).toBe(true)
      expect(findings.filter(({ level }) => level === 'fail')).toEqual([])
      expect(await subject.state()).toEqual(before)
    })

    test('what has not changed is collected as the same bytes below the same paths, and what has as others', async () => {
      const before = await subject.state()
      const first = await digestOf(await collect())
      expect(await digestOf(await collect())).toBe(first)
      expect(await subject.state()).toEqual(before)
      await subject.change()
      expect(await digestOf(await collect())).not.toBe(first)
    })

    test('what was collected is judged well, and judging changes neither it nor the component', async () => {
      const collected = await collect()
      const [digest, before] = [await digestOf(collected), await subject.state()]
      const findings = await component.check(collected, { signal: signal() })
      expect(findings.filter(({ level }) => level === 'fail')).toEqual([])
      expect(await digestOf(collected)).toBe(digest)
      expect(await subject.state()).toEqual(before)
    })

    test('secrets are collected only where the archive will be encrypted, and named where they are left out', async (context) => {
      const { secret } = subject
      if (secret === undefined) return context.skip()
      const into = join(await temporaryDirectory(), 'plain')
      await mkdir(into)
      const { leftOut } = await component.collect(into, { secrets: false, signal: signal() })
      expect(leftOut.length).toBeGreaterThan(0)
      for (const { reason } of leftOut) expect(reason).not.toBe('')
      expect(JSON.stringify(leftOut)).not.toContain(secret)
      expect(await textsIn(into)).not.toContain(secret)
      expect(await textsIn(await collect())).toContain(secret)
    })

    test('a dry run says what a restore would do, and does none of it', async () => {
      const collected = await collect()
      await subject.change()
      const before = await subject.state()
      const { actions } = await component.restore(collected, wanted({ dryRun: true }))
      expect(actions.length).toBeGreaterThan(0)
      expect(await subject.state()).toEqual(before)
    })

    test('a restore brings back what was collected, the archive stays as it was, and a second one changes nothing', async () => {
      const [collected, before] = [await collect(), await subject.state()]
      const digest = await digestOf(collected)
      await subject.change()
      expect(await subject.state()).not.toEqual(before)
      const restored = await component.restore(collected, wanted())
      expect(restored.actions.length).toBeGreaterThan(0)
      expect(await subject.state()).toEqual(before)
      await component.restore(collected, wanted())
      expect(await subject.state()).toEqual(before)
      expect(await digestOf(collected)).toBe(digest)
    })

    test('where there is nothing to restore, everything stays as it is: it is refused with a hint, or nothing was done', async () => {
      const empty = await temporaryDirectory()
      const before = await subject.state()
      const outcome = await component.restore(empty, wanted()).catch((error: unknown) => error)
      if (outcome instanceof Error) {
        expect(outcome).toBeInstanceOf(PromDrError)
        expect((outcome as PromDrError).hint).toMatch(/./)
      } else expect((outcome as RestoredComponent).actions).toEqual([])
      expect(await subject.state()).toEqual(before)
    })

    test('interrupted before it begins, it changes nothing', async () => {
      const collected = await collect()
      await subject.change()
      const before = await subject.state()
      const stopped = AbortSignal.abort(new PromDrError('INTERRUPTED', 'interrupted'))
      await rejectionOf(component.restore(collected, wanted({ signal: stopped })))
      expect(await subject.state()).toEqual(before)
    })
  })
}

async function textsIn(directory: string): Promise<string> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const texts = await Promise.all(entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name), 'latin1')))
  return texts.join('\n')
}
