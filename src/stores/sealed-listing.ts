import { compareKeys } from './keys.ts'
import type { StoredObject } from './object-store.ts'

export const sealedSuffix = '.age'

export interface SealedNames {
  /** Whether an object of this name may be stored sealed, under the name with the suffix. */
  seals(key: string): boolean
  plainBytes(storedBytes: number): number | undefined
}

/** The name that a stored object is known under; undefined for one that is stored as it is. */
export function nameOfSealed(storedKey: string, { seals }: Pick<SealedNames, 'seals'>): string | undefined {
  if (!storedKey.endsWith(sealedSuffix)) return undefined
  const key = storedKey.slice(0, -sealedSuffix.length)
  return key !== '' && seals(key) ? key : undefined
}

/** A stored size as the size of what is in it; 0 for one that no sealed object has, which nothing expects. */
export function shownObject(stored: StoredObject, key: string, { plainBytes }: Pick<SealedNames, 'plainBytes'>): StoredObject {
  return { ...stored, key, sizeBytes: plainBytes(stored.sizeBytes) ?? 0 }
}

/**
 * A listing in which sealed objects stand under their own names, once each and in order. Leaving the suffix away changes the order of
 * names that go on with a character before the dot (`a-b.age` is listed before `a.age`, but `a` before `a-b`), so that those wait until
 * nothing can come before them.
 */
export async function* listWithoutSuffix(listing: AsyncIterable<StoredObject>, prefix: string, names: SealedNames): AsyncGenerator<StoredObject> {
  let held: StoredObject[] = []
  for await (const stored of listing) {
    let ready = 0
    while (ready < held.length && !isEarly((held[ready] as StoredObject).key, stored.key, names)) ready += 1
    yield* held.slice(0, ready)
    held = held.slice(ready)
    const key = nameOfSealed(stored.key, names)
    if (key === undefined) hold(held, stored)
    else if (key.startsWith(prefix)) hold(held, shownObject(stored, key, names))
  }
  yield* held
}

/** The later of two under one name is the sealed one, which readers prefer. */
function hold(held: StoredObject[], object: StoredObject): void {
  let at = held.length
  while (at > 0 && compareKeys((held[at - 1] as StoredObject).key, object.key) > 0) at -= 1
  if (held[at - 1]?.key === object.key) held[at - 1] = object
  else held.splice(at, 0, object)
}

/** Whether `next` or a stored key after it may be the sealed form of `key` itself or of a name before it. */
function isEarly(key: string, next: string, { seals }: SealedNames): boolean {
  for (let length = key.length; length > 0; length -= 1) {
    if (length < key.length && (key[length] as string) > '.') continue
    const earlier = key.slice(0, length)
    if (compareKeys(`${earlier}${sealedSuffix}`, next) >= 0 && seals(earlier)) return true
  }
  return false
}
