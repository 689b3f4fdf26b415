import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { PromDrError } from '../../errors.ts'
import type { Silence } from '../../integrations/alertmanager/alertmanager-api.ts'
import { recordOf, silenceOf } from '../../integrations/alertmanager/silence-record.ts'
import { type StateRecord, readStateFile, stateFileBytes } from '../../integrations/alertmanager/state-file.ts'
import { ifThere } from '../../system/if-there.ts'
import { readArchivedJson } from '../archived-json.ts'

/*
 *     silences.json     what the API had when it was collected: up to the moment, and readable
 *     data/silences     the state file: what Alertmanager itself wrote last, up to 15 minutes before
 *     data/nflog        the notification log, of which there is no API
 */
export const silencesName = 'silences.json'
export const stateFolder = 'data'
export const stateNames = ['silences', 'nflog'] as const
export type StateName = (typeof stateNames)[number]
export const archivedStateNames: readonly string[] = [silencesName, ...stateNames.map((name) => join(stateFolder, name))]

const time = z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'is no time')
const exportSchema = z.object({
  version: z.literal(1, 'another version: use a newer prom-dr'),
  silences: z.array(z.object({
    id: z.string().regex(/^[\w-]+$/, 'is no id'),
    matchers: z.array(z.object({ name: z.string(), value: z.string(), isRegex: z.boolean(), isEqual: z.boolean() })),
    startsAt: time,
    endsAt: time,
    updatedAt: time,
    createdBy: z.string(),
    comment: z.string(),
  })),
})

/** Sorted and without what changes by itself, such as the state: unchanged silences give the same bytes. */
export async function writeExport(into: string, silences: readonly Silence[]): Promise<void> {
  const sorted = [...silences].sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ id, matchers, startsAt, endsAt, updatedAt, createdBy, comment }) => ({
    id, matchers: matchers.map(({ name, value, isRegex, isEqual }) => ({ name, value, isRegex, isEqual })), startsAt, endsAt, updatedAt, createdBy, comment,
  }))
  await writeFile(join(into, silencesName), `${JSON.stringify({ version: 1, silences: sorted }, null, 2)}\n`, { mode: 0o644 })
}

/** Undefined when there is none. @throws DAMAGED */
export async function readExport(directory: string): Promise<Silence[] | undefined> {
  return (await readArchivedJson(directory, silencesName, exportSchema))?.silences
}

/** The records of an archived state file; undefined when there is none. @throws DAMAGED, since a broken file stops Alertmanager's startup */
export async function readArchivedState(directory: string, name: StateName): Promise<StateRecord[] | undefined> {
  const bytes = await ifThere(readFile(join(directory, stateFolder, name)))
  if (bytes === undefined) return undefined
  const { records, damage = name === 'silences' ? undecodable(bytes, name) : undefined } = readStateFile(bytes, name)
  if (damage === undefined) return records
  throw new PromDrError('DAMAGED', `${stateFolder}/${name} in the archive is broken: ${damage}`, { hint: 'Alertmanager would not start with it: restore another recovery point' })
}

/** Every archived silence as last updated, sorted by id: of the state file, and newer ones of the export. @throws DAMAGED */
export async function archivedSilences(directory: string): Promise<Silence[]> {
  const newest = new Map<string, Silence>()
  const recorded = ((await readArchivedState(directory, 'silences')) ?? []).map(silenceOf)
  for (const silence of [...recorded, ...((await readExport(directory)) ?? [])]) {
    const known = newest.get(silence.id)
    if (known === undefined || Date.parse(known.updatedAt) < Date.parse(silence.updatedAt)) newest.set(silence.id, silence)
  }
  return [...newest.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
}

/**
 * The state file to put in place: records as Alertmanager wrote them, byte for byte, but for silences that the export has in a newer
 * version or alone. Undefined when nothing was archived. @throws DAMAGED
 */
export async function silencesFile(directory: string): Promise<Uint8Array | undefined> {
  const recorded = await readArchivedState(directory, 'silences')
  const exported = await readExport(directory)
  if (recorded === undefined && exported === undefined) return undefined
  const records = new Map((recorded ?? []).map((record) => [silenceOf(record).id, record]))
  for (const silence of exported ?? []) {
    const record = records.get(silence.id)
    if (record === undefined || Date.parse(silenceOf(record).updatedAt) < Date.parse(silence.updatedAt)) records.set(silence.id, recordOf(silence))
  }
  return stateFileBytes([...records.values()])
}

/** Why a message in the file is none; undefined when all are. */
function undecodable(bytes: Uint8Array, name: StateName): string | undefined {
  try {
    readStateFile(bytes, name).records.forEach(silenceOf)
    return undefined
  } catch (error) {
    if (!(error instanceof Error) || error instanceof TypeError) throw error
    return error.message
  }
}
