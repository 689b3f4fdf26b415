import { z } from 'zod'
import { PromDrError } from '../errors.ts'
import { inNameOrder, readArchivedJson } from './archived-json.ts'

/**
 * What plain files cannot say, kept beside them in the archive. Files lie below their absolute path without its first slash, so that
 * `tar -C / -xzf` by hand puts them back too.
 */
export interface TreeLayout {
  version: 1
  /** `user:group` by path in the archive. */
  owners: Record<string, string>
  /** Targets of symbolic links by path in the archive, as they were written. */
  links: Record<string, string>
}

export const layoutFile = '.prom-dr-layout.json'

const schema = z.looseObject({
  version: z.literal(1, 'another version: use a newer prom-dr'),
  owners: z.record(z.string(), z.string().regex(/^[\w.-]+:[\w.-]+$/, 'not user:group')),
  links: z.record(z.string(), z.string().min(1)),
})

/** Sorted, so that an unchanged tree gives the same bytes. */
export function layoutText({ owners, links }: Omit<TreeLayout, 'version'>): string {
  return `${JSON.stringify({ version: 1, owners: inNameOrder(owners), links: inNameOrder(links) }, null, 2)}\n`
}

/** @throws DAMAGED when there is none, or it is not one */
export async function readLayout(directory: string): Promise<TreeLayout> {
  const layout = await readArchivedJson(directory, layoutFile, schema)
  if (layout === undefined) throw new PromDrError('DAMAGED', `the archive has no ${layoutFile}`, { hint: 'it was not written by prom-dr; unpack it by hand with tar' })
  return { version: 1, owners: layout.owners, links: layout.links }
}
