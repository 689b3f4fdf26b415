/** A source of numbers in [0, 1) that the seed alone decides (xmur3 and sfc32, Bob Jenkins' and Chris Doty-Humphrey's public-domain constructions). */
export function seededRandom(seed: string): () => number {
  let hash = 1779033703 ^ seed.length
  for (let at = 0; at < seed.length; at += 1) {
    hash = Math.imul(hash ^ seed.charCodeAt(at), 3432918353)
    hash = (hash << 13) | (hash >>> 19)
  }
  const word = () => {
    hash = Math.imul(hash ^ (hash >>> 16), 2246822507)
    hash = Math.imul(hash ^ (hash >>> 13), 3266489909)
    return (hash ^= hash >>> 16) >>> 0
  }
  let [a, b, c, counter] = [word(), word(), word(), 1]
  return () => {
    const next = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + next) | 0
    return (next >>> 0) / 4_294_967_296
  }
}

/** The items in an order that `random` decides (Fisher and Yates). */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items]
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1))
    const item = result[last] as T
    result[last] = result[other] as T
    result[other] = item
  }
  return result
}
