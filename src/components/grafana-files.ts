import { createHash } from 'node:crypto'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { type GrafanaContent, type GrafanaObject, inOrder, textField } from '../integrations/grafana/grafana-content.ts'
import { ifThere } from '../system/if-there.ts'
import { readArchivedJson } from './archived-json.ts'

const longestName = 120

/** A readable file name for a uid or name of any characters. */
function fileName(name: string): string {
  const safe = encodeURIComponent(name).replace(/^\./, '%2E').replaceAll('*', '%2A')
  return `${safe.length <= longestName ? safe : `${safe.slice(0, longestName)}-${createHash('sha256').update(name).digest('hex').slice(0, 16)}`}.json`
}

/** One file a thing, so that a difference between two recovery points reads as what somebody changed. */
export async function writeContent(directory: string, content: GrafanaContent): Promise<void> {
  const files: [path: string, value: unknown][] = [
    ...content.folders.map((folder): [string, unknown] => [`folders/${fileName(folder.uid)}`, folder]),
    ...content.dataSources.map((dataSource): [string, unknown] => [`data-sources/${fileName(textField(dataSource, 'uid'))}`, dataSource]),
    ...content.templates.map((template): [string, unknown] => [`alerting/templates/${fileName(textField(template, 'name'))}`, template]),
    ...content.muteTimings.map((timing): [string, unknown] => [`alerting/mute-timings/${fileName(textField(timing, 'name'))}`, timing]),
    ...content.contactPoints.map((point): [string, unknown] => [`alerting/contact-points/${fileName(`${textField(point, 'name')}-${textField(point, 'uid')}`)}`, point]),
    ...(content.policies === null ? [] : [['alerting/policies.json', content.policies] as [string, unknown]]),
    ...content.ruleGroups.map((group): [string, unknown] => [`alerting/rule-groups/${fileName(group.folderUid).replace(/\.json$/, '')}/${fileName(group.title)}`, group]),
    ...content.dashboards.map((dashboard): [string, unknown] => [`dashboards/${dashboard.folderUid === null ? 'general' : fileName(dashboard.folderUid).replace(/\.json$/, '')}/${fileName(dashboard.uid)}`, dashboard]),
  ]
  for (const [path, value] of files) {
    await mkdir(dirname(join(directory, path)), { recursive: true, mode: 0o700 })
    await writeFile(join(directory, path), `${JSON.stringify(inOrder(value), null, 2)}\n`, { mode: 0o600 })
  }
}

const uid = z.string().min(1).max(200)
const object = z.record(z.string(), z.unknown())
const folder = z.object({ uid, title: z.string(), parentUid: uid.nullable() })
const ruleGroup = z.object({ folderUid: uid, title: z.string().min(1), interval: z.number().positive(), rules: z.array(object) })
const dashboard = z.object({ uid, title: z.string(), folderUid: uid.nullable(), dashboard: object })
const withUid = object.refine((value) => uid.safeParse(value['uid']).success, 'has no uid')
const withName = object.refine((value) => uid.safeParse(value['name']).success, 'has no name')

/** @throws DAMAGED with the file that cannot be understood */
export async function readFiles(directory: string): Promise<GrafanaContent> {
  const [policies] = await read(directory, 'alerting/policies.json', object)
  return {
    folders: await read(directory, 'folders', folder),
    dataSources: await read(directory, 'data-sources', withUid),
    templates: await read(directory, 'alerting/templates', withName),
    muteTimings: await read(directory, 'alerting/mute-timings', withName),
    contactPoints: await read(directory, 'alerting/contact-points', withName),
    policies: (policies as GrafanaObject | undefined) ?? null,
    ruleGroups: await read(directory, 'alerting/rule-groups', ruleGroup),
    dashboards: await read(directory, 'dashboards', dashboard),
  }
}

async function read<T>(directory: string, path: string, schema: z.ZodType<T>): Promise<T[]> {
  const names = path.endsWith('.json') ? [path] : (await below(join(directory, path))).map((name) => join(path, name))
  const found: T[] = []
  for (const name of names.sort()) {
    const value = await readArchivedJson(directory, name, schema)
    if (value !== undefined) found.push(value)
  }
  return found
}

async function below(directory: string): Promise<string[]> {
  return ((await ifThere(readdir(directory, { recursive: true }))) ?? []).filter((name) => name.endsWith('.json'))
}
