import { describe, expect, test } from 'vitest'
import { checkComponents } from '../../../src/operations/components/doctor-components.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const signal = new AbortController().signal

describe('doctor on components', () => {
  test('shows what each finds, with advice where something lacks', async () => {
    const good = directoryComponent('good', await temporaryDirectory())
    const bad = { ...directoryComponent('bad', '/missing'), discover: async () => [{ name: 'url', level: 'fail' as const, detail: 'it did not answer', advice: 'start it' }, { name: 'disk', level: 'warn' as const, detail: 'nearly full' }] }
    expect(await checkComponents(componentsContext([good, bad]), signal)).toEqual([
      expect.objectContaining({ area: 'component good', status: 'ok' }),
      { area: 'component bad', name: 'url', status: 'fail', detail: 'it did not answer', advice: 'start it' },
      { area: 'component bad', name: 'disk', status: 'warn', detail: 'nearly full', advice: 'see the message' },
    ])
    expect(await checkComponents(componentsContext([bad], { unasked: ['bad'] }), signal)).toMatchObject([{ status: 'warn' }, { status: 'warn' }])
  })

  test('takes one that throws for a failed check of it alone', async () => {
    const checks = await checkComponents(componentsContext([directoryComponent('gone', '/no/such/directory'), directoryComponent('good', await temporaryDirectory())]), signal)
    expect(checks).toMatchObject([{ area: 'component gone', name: 'looked at', status: 'fail', detail: expect.stringContaining('/no/such/directory') }, { area: 'component good', status: 'ok' }])
  })
})
