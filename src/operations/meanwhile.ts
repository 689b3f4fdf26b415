/**
 * Runs `beside` while `use` runs, which is given what will come of it. When `use` has ended, however it ends, nothing of it runs any more:
 * it is told by its signal, and waited for. What it fails with is told where `use` waits for it, and only there.
 */
export async function meanwhile<A, T>(signal: AbortSignal, beside: (signal: AbortSignal) => Promise<A>, use: (outcome: Promise<A>) => Promise<T>): Promise<T> {
  const over = new AbortController()
  const outcome = beside(AbortSignal.any([signal, over.signal]))
  const ended = outcome.then(() => undefined, () => undefined)
  try {
    return await use(outcome)
  } finally {
    over.abort()
    await ended
  }
}
