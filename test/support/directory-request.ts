import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { PutRequest } from '../../src/components/placing/put-in-place.ts'

/** Everything in `new/` into `etc/`, and what is only there aside. */
export async function directoryRequest(root: string): Promise<PutRequest> {
  const [wanted, present] = await Promise.all(['new', 'etc'].map((name) => readdir(join(root, name))))
  return {
    placements: (wanted ?? []).sort().map((name) => ({ source: join(root, 'new', name), destination: join(root, 'etc', name), owner: 'root:root' })),
    obsolete: (present ?? []).filter((name) => name.endsWith('.yml') && wanted?.includes(name) !== true).sort().map((name) => join(root, 'etc', name)),
    aside: (path) => ({ directory: join(root, 'etc'), path: basename(path) }),
    attributes: 'here',
    now: new Date(),
    dryRun: false,
    signal: new AbortController().signal,
  }
}
