import { describe, expect, test } from 'vitest'
import { meanwhile } from '../../src/operations/meanwhile.ts'

const never = new AbortController().signal

/** Ends only when it is told to; `ended` says that it has. */
function endless() {
  const state = { ended: false }
  const run = async (signal: AbortSignal) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => setImmediate(resolve)))
    state.ended = true
    signal.throwIfAborted()
  }
  return { state, run }
}

describe('what runs beside something else', () => {
  test('gives it what comes of it', async () => {
    expect(await meanwhile(never, async () => 'beside', async (outcome) => `with what ran ${await outcome}`)).toBe('with what ran beside')
  })

  test('has ended when the other has ended, well or badly', async () => {
    const [well, badly] = [endless(), endless()]
    expect(await meanwhile(never, well.run, async () => 'done')).toBe('done')
    expect(well.state.ended).toBe(true)
    await expect(meanwhile(never, badly.run, () => Promise.reject(new Error('refused')))).rejects.toThrow('refused')
    expect(badly.state.ended).toBe(true)
  })

  test('fails only where it is waited for', async () => {
    const fails = () => Promise.reject(new Error('beside'))
    expect(await meanwhile(never, fails, async () => 'done')).toBe('done')
    await expect(meanwhile(never, fails, (outcome) => outcome)).rejects.toThrow('beside')
    await expect(meanwhile(never, fails, () => Promise.reject(new Error('first')))).rejects.toThrow('first')
  })

  test('is interrupted with it', async () => {
    const interruption = new AbortController()
    const { state, run } = endless()
    const outcome = meanwhile(interruption.signal, run, (running) => running)
    interruption.abort(new Error('interrupted'))
    await expect(outcome).rejects.toThrow('interrupted')
    expect(state.ended).toBe(true)
  })
})
