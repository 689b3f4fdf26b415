import { cp, mkdir, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import type { Component } from '../../src/components/component.ts'
import { PromDrError } from '../../src/errors.ts'
import type { ComponentsContext } from '../../src/operations/components/components-context.ts'
import { isDeadHere, thisProcess } from '../../src/system/machine.ts'

export interface DirectoryComponent extends Component {
  /** What a test makes of it. */
  failWith?: string | undefined
  broken?: boolean
  calls: string[]
}

/** A component of the simplest kind that is a real one: the files of a directory. */
export function directoryComponent(name: string, directory: string): DirectoryComponent {
  const calls: string[] = []
  const component: DirectoryComponent = {
    name,
    kind: 'directory',
    calls,
    async discover() {
      return [{ name: directory, level: 'ok', detail: `${(await readdir(directory)).length} names` }]
    },
    async collect(into, { secrets }) {
      calls.push(`collect${secrets ? ' with secrets' : ''}`)
      if (component.failWith !== undefined) throw new PromDrError('COMPONENT_FAILED', component.failWith, { hint: 'mend it' })
      await cp(directory, into, { recursive: true })
      return { leftOut: secrets ? [] : [{ path: '/secret', reason: 'it is not encrypted' }], warnings: [] }
    },
    async check(from) {
      const names = await readdir(from, { recursive: true })
      return [component.broken === true ? { name: 'files', level: 'fail', detail: 'they are broken', advice: 'mend them' } : { name: 'files', level: 'ok', detail: `${names.length} names` }]
    },
    async restore(from, { dryRun, force, parts }) {
      calls.push(`restore${dryRun ? ' dry' : ''}${force ? ' by force' : ''}${parts.length === 0 ? '' : ` ${parts.join(',')}`}`)
      if (component.failWith !== undefined) throw new PromDrError('COMPONENT_FAILED', component.failWith, { hint: 'mend it' })
      if (dryRun) return { actions: [`would copy to ${directory}`], movedAside: [], toReenter: [], warnings: [] }
      await mkdir(directory, { recursive: true })
      await cp(from, directory, { recursive: true })
      return { actions: [`copied to ${directory}`], movedAside: [], toReenter: ['a password'], warnings: [] }
    },
  }
  return component
}

export function componentsContext(components: readonly Component[], more: Partial<ComponentsContext> & { scratchParent?: string; unasked?: readonly string[] } = {}): ComponentsContext {
  const self = thisProcess()
  const { scratchParent = tmpdir(), unasked = [], ...others } = more
  return {
    components: components.map((component) => ({ component, asked: !unasked.includes(component.name) })),
    scratch: { parent: scratchParent, self, isDead: (owner) => isDeadHere(owner, self) },
    places: new Map(),
    ...others,
  }
}

