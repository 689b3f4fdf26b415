import { z } from 'zod'
import { collidingPath, isArchivePath, isComponentName, mostArchivedFiles } from '../domain/archive.ts'
import { isExternalPath } from './layout.ts'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in hex')
const count = z.number().int().nonnegative()

const fileSchema = z.looseObject({
  path: z.string().refine(isArchivePath, 'not a path below the archive'),
  sizeBytes: count,
  sha256,
  /** Permissions only: no archive brings back a set-user-id program. */
  mode: count.max(0o777),
})

/** An archive as a manifest names it. Its files are bounded and stay below one directory, whoever wrote the manifest. */
export const archiveSchema = z.looseObject({
  component: z.string().refine(isComponentName, 'not a component name'),
  kind: z.string().min(1).max(63),
  contentSha256: sha256,
  stored: z.looseObject({ sha256, sizeBytes: count, recipients: z.array(z.string()).optional() }),
  files: z.array(fileSchema).max(mostArchivedFiles).refine((files) => collidingPath(files.map(({ path }) => path)) === undefined, 'two files of an archive stand in each other\'s place'),
  leftOut: z.array(z.looseObject({ path: z.string(), reason: z.string() })),
  external: z.looseObject({ prefix: z.string(), sizeBytes: count, objects: count }).optional(),
}).refine(({ component, external }) => external === undefined || isExternalPath(external.prefix, component), 'external data lies elsewhere than where its component stores it')
