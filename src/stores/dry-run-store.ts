import { PromDrError } from '../errors.ts'
import type { ObjectStore } from './object-store.ts'

/** Reads as the store does; a write in a dry run is a bug of its caller and is stopped here. */
export function createDryRunStore(store: ObjectStore): ObjectStore {
  async function refuse(verb: string, what: string): Promise<never> {
    throw new PromDrError('INTERNAL', `dry run: ${verb} of ${what} in ${store.url} was stopped`, { hint: 'please report this: a dry run must not try to write' })
  }

  return {
    url: store.url,
    listsInPages: store.listsInPages,
    create: (key) => refuse('create', key),
    put: (key) => refuse('put', key),
    get: (key, options) => store.get(key, options),
    head: (key, options) => store.head(key, options),
    list: (prefix, options) => store.list(prefix, options),
    listFolders: (prefix, options) => store.listFolders(prefix, options),
    delete: (keys) => refuse('delete', `${keys.length} objects (${keys[0] ?? 'none'}…)`),
    now: (options) => store.now(options),
    // The probe writes.
    capabilities: (prefix) => refuse('probe', prefix),
    close: () => store.close(),
  }
}
