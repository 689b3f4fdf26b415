export interface WaitOptions {
  /** Default 2 min: a machine that does other work too is slow. */
  timeoutMs?: number
  /** Default 50 ms. */
  intervalMs?: number
  /** What is waited for, in the error. */
  what?: string
}

/**
 * Polls until the condition gives something other than undefined or false, and returns it. A condition that throws is
 * asked again; its last error is the cause of the failure.
 */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions = {}): Promise<Exclude<Awaited<T>, undefined | false>> {
  const { timeoutMs = 120_000, intervalMs = 50, what = 'the condition' } = options
  const deadline = performance.now() + timeoutMs
  let lastError: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value !== undefined && value !== false) return value as Exclude<Awaited<T>, undefined | false>
      lastError = undefined
    } catch (error) {
      lastError = error
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: lastError })
    await new Promise((resolve) => setTimeout(resolve, intervalMs))
  }
}
