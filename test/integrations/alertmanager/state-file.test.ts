import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Silence } from '../../../src/integrations/alertmanager/alertmanager-api.ts'
import { recordOf, silenceOf } from '../../../src/integrations/alertmanager/silence-record.ts'
import { readStateFile, stateFileBytes } from '../../../src/integrations/alertmanager/state-file.ts'

// What Alertmanager 0.25 wrote for {alertname=~"x", job!="y"}, by "me", "why é".
const written = Buffer.from('8a010a7a0a2435656136346465392d343837652d343766322d613437652d31656661626366323064386312100801120961' +
  '6c6572746e616d651a0178120a080212036a6f621a01791a0c08b0b085d8061092adf4cc03220c08c0cc85d80610c0e49eca032a0c08b0b085d8061092adf4cc0342026d654a0677687920c3a9120c08c0fb9fd80610c0e49eca03', 'hex')

const time = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }).map((date) => date.toISOString())
const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const silences: fc.Arbitrary<Silence> = fc.record({
  id: fc.uuid(),
  matchers: fc.array(fc.record({ name: text, value: text, isRegex: fc.boolean(), isEqual: fc.boolean() }), { maxLength: 3 }),
  startsAt: time, endsAt: time, updatedAt: time, createdBy: text, comment: text,
})

describe('a state file of Alertmanager', () => {
  it('is read as Alertmanager wrote it', () => {
    const { records, damage } = readStateFile(written, 'silences')
    expect(damage).toBeUndefined()
    expect(records.map(silenceOf)).toEqual([{
      id: '5ea64de9-487e-47f2-a47e-1efabcf20d8c',
      matchers: [{ name: 'alertname', value: 'x', isRegex: true, isEqual: true }, { name: 'job', value: 'y', isRegex: false, isEqual: false }],
      startsAt: '2026-11-21T08:37:04.966Z', endsAt: '2026-11-21T09:37:04.961Z', updatedAt: '2026-11-21T08:37:04.966Z', createdBy: 'me', comment: 'why é',
    }])
    expect(Buffer.from(stateFileBytes(records))).toEqual(written)
  })

  it('gives the same bytes for the same silences in any order, and every silence back', () => {
    fc.assert(fc.property(fc.uniqueArray(silences, { selector: ({ id }) => id, maxLength: 5 }), (all) => {
      const bytes = stateFileBytes(all.map(recordOf))
      expect(stateFileBytes([...all].reverse().map(recordOf))).toEqual(bytes)
      const read = readStateFile(bytes, 'silences').records.map(silenceOf)
      const sorted = (list: readonly Silence[]) => [...list].sort((a, b) => (a.id < b.id ? -1 : 1))
      expect(sorted(read)).toEqual(sorted(all))
    }))
  })

  it('that ends within a record is damaged, wherever it ends, and what is before that is kept', () => {
    const two = Buffer.concat([written, written])
    for (let sizeBytes = 1; sizeBytes < two.byteLength; sizeBytes += 1) {
      const { records, damage } = readStateFile(two.subarray(0, sizeBytes), 'silences')
      if (sizeBytes === written.byteLength) expect(damage).toBeUndefined()
      else expect(damage, String(sizeBytes)).toMatch(/ends within a record at byte/)
      expect(records).toHaveLength(sizeBytes < written.byteLength ? 0 : 1)
    }
  })

  it('of random bytes is none', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
      const { damage, records } = readStateFile(bytes, 'silences')
      expect(damage !== undefined || records.length > 0).toBe(true)
    }), { numRuns: 2000 })
    // As they begin where silences do, and go on as nothing does.
    fc.assert(fc.property(fc.nat({ max: written.byteLength - 1 }), fc.nat({ max: 255 }), (at, byte) => {
      const flipped = Buffer.from(written)
      flipped[at] = byte
      const read = readStateFile(flipped, 'silences')
      expect(read.damage !== undefined || read.records.length === 1).toBe(true)
    }), { numRuns: 2000 })
    expect(readStateFile(Buffer.from([2, 8, 1]), 'silences').damage).toMatch(/no record at byte 0/)
    expect(readStateFile(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), 'nflog').damage).toMatch(/a record of 4294967295 bytes/)
  })
})
