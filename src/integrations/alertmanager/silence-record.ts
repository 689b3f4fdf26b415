import protobuf from 'protobufjs/minimal.js'
import type { Silence, SilenceMatcher } from './alertmanager-api.ts'
import { type StateRecord, eachField } from './state-file.ts'

/*
 *   MeshSilence {Silence silence = 1; Timestamp expires_at = 2}
 *   Silence {string id = 1; repeated Matcher matchers = 2; Timestamp starts_at = 3, ends_at = 4, updated_at = 5; string created_by = 8; string comment = 9}
 *   Matcher {Type type = 1 (EQUAL, REGEXP, NOT_EQUAL, NOT_REGEXP); string name = 2; string pattern = 3}
 *   Timestamp {int64 seconds = 1; int32 nanos = 2}
 */
const matcherTypes = [
  { isRegex: false, isEqual: true },
  { isRegex: true, isEqual: true },
  { isRegex: false, isEqual: false },
  { isRegex: true, isEqual: false },
]

/** How long Alertmanager keeps what has expired, unless --data.retention says otherwise. */
const retentionMs = 120 * 3_600_000

/** Times are cut to milliseconds, as the API has them. */
export function silenceOf(record: StateRecord): Silence {
  const silence: Silence = { id: '', matchers: [], startsAt: time(0), endsAt: time(0), createdBy: '', comment: '', updatedAt: time(0) }
  eachField(record, {
    1: (inner) => {
      eachField(bytesOf(inner), {
        1: (id) => (silence.id = textOf(id)),
        2: (matcher) => void silence.matchers.push(matcherOf(bytesOf(matcher))),
        3: (at) => (silence.startsAt = timeOf(bytesOf(at))),
        4: (at) => (silence.endsAt = timeOf(bytesOf(at))),
        5: (at) => (silence.updatedAt = timeOf(bytesOf(at))),
        8: (author) => (silence.createdBy = textOf(author)),
        9: (comment) => (silence.comment = textOf(comment)),
      })
    },
  })
  return silence
}

export function recordOf(silence: Silence): StateRecord {
  const writer = protobuf.Writer.create()
  writer.uint32(tag(1)).fork()
  writer.uint32(tag(1)).string(silence.id)
  for (const { name, value, isRegex, isEqual } of silence.matchers) {
    const type = matcherTypes.findIndex((one) => one.isRegex === isRegex && one.isEqual === isEqual)
    writer.uint32(tag(2)).fork()
    if (type > 0) writer.uint32(tag(1, 0)).uint32(type)
    writer.uint32(tag(2)).string(name).uint32(tag(3)).string(value).ldelim()
  }
  for (const [field, at] of [[3, silence.startsAt], [4, silence.endsAt], [5, silence.updatedAt]] as const) writeTime(writer, field, Date.parse(at))
  writer.uint32(tag(8)).string(silence.createdBy).uint32(tag(9)).string(silence.comment).ldelim()
  writeTime(writer, 2, Date.parse(silence.endsAt) + retentionMs)
  return writer.finish()
}

function matcherOf(bytes: Uint8Array): SilenceMatcher {
  let [type, name, value] = [0, '', '']
  eachField(bytes, {
    1: (number) => (type = typeof number === 'number' ? number : 0),
    2: (text) => (name = textOf(text)),
    3: (text) => (value = textOf(text)),
  })
  return { name, value, ...(matcherTypes[type] ?? { isRegex: false, isEqual: true }) }
}

function timeOf(bytes: Uint8Array): string {
  let [seconds, nanos] = [0, 0]
  eachField(bytes, { 1: (number) => (seconds = Number(number)), 2: (number) => (nanos = Number(number)) })
  return time(seconds * 1000 + Math.floor(nanos / 1e6))
}

/** Beyond what a Date can hold is its end: an edge for comparing, nothing that is written. */
function time(ms: number): string {
  return new Date(Math.max(-62_135_596_800_000, Math.min(253_402_300_799_999, ms))).toISOString()
}

function writeTime(writer: protobuf.Writer, field: number, ms: number): void {
  const seconds = Math.floor(ms / 1000)
  writer.uint32(tag(field)).fork().uint32(tag(1, 0)).int64(seconds)
  if (ms !== seconds * 1000) writer.uint32(tag(2, 0)).int32((ms - seconds * 1000) * 1e6)
  writer.ldelim()
}

function bytesOf(value: Uint8Array | number): Uint8Array {
  return typeof value === 'number' ? new Uint8Array() : value
}

function textOf(value: Uint8Array | number): string {
  return Buffer.from(bytesOf(value)).toString('utf8')
}

function tag(field: number, wireType = 2): number {
  return (field << 3) | wireType
}
