import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sealJson, unsealJson } from '../../src/repository/sealed-json.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const document = { version: 1, name: 'prom-ä\u{1f600}', nested: { list: [1, null, 'a\nb'], empty: {} }, 'odd "key"': '\\' }
const sealed = Buffer.from(sealJson(document))
const damaged = expect.objectContaining({ code: 'DAMAGED', details: { key: 'the/key.json' } })
const unseal = (bytes: Uint8Array) => unsealJson(bytes, 'the/key.json')

function failureOf(bytes: Uint8Array): unknown {
  try {
    return { value: unseal(bytes) }
  } catch (error) {
    return error
  }
}

describe('a sealed document', () => {
  test('comes back as it was', () => {
    expect(unseal(sealed)).toEqual(document)
  })

  test('is JSON that any program reads, with the checksum as its last field', () => {
    const parsed = JSON.parse(sealed.toString()) as Record<string, unknown>
    expect(Object.keys(parsed).at(-1)).toBe('checksum')
    expect(parsed).toMatchObject(document)
  })

  test('is checked by head, tail and sha256sum', async () => {
    const file = join(await temporaryDirectory(), 'document.json')
    writeFileSync(file, sealed)
    const digest = execFileSync('/bin/sh', ['-c', 'head -n -1 "$1" | sha256sum | cut -d " " -f 1', 'sh', file]).toString().trim()
    const last = execFileSync('tail', ['-n', '1', file]).toString()
    expect(last).toBe(`"checksum": "sha256:${digest}"}\n`)
  })

  test('is found to be damaged when any bit of it is flipped', () => {
    for (let at = 0; at < sealed.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const flipped = Buffer.from(sealed)
        flipped[at] = (flipped[at] as number) ^ (1 << bit)
        expect(failureOf(flipped), `bit ${bit} of byte ${at}`).toEqual(damaged)
      }
    }
  })

  test('is found to be damaged when it is cut anywhere', () => {
    for (let length = 0; length < sealed.length; length += 1) expect(failureOf(sealed.subarray(0, length)), `${length} bytes`).toEqual(damaged)
  })

  test.each([
    ['bytes were appended', Buffer.concat([sealed, Buffer.from('\n')])],
    ['it was appended to itself', Buffer.concat([sealed, sealed])],
    ['a byte was inserted in front', Buffer.concat([Buffer.from(' '), sealed])],
    ['it is all zeros', Buffer.alloc(sealed.length)],
    ['its line ends were changed', Buffer.from(sealed.toString().replaceAll('\n', '\r\n'))],
    ['it was formatted anew', Buffer.from(JSON.stringify(JSON.parse(sealed.toString())))],
    ['it is JSON without a checksum', Buffer.from('{"version":1}\n')],
    ['it is a web page', Buffer.from(`<html>${'x'.repeat(200)}</html>\n`)],
    ['only its last line is there', sealed.subarray(sealed.lastIndexOf('"checksum"'))],
  ])('is found to be damaged when %s', (_, bytes) => {
    expect(failureOf(bytes)).toEqual(damaged)
  })

  test('names the key and says what to do when it is damaged', () => {
    expect(failureOf(sealed.subarray(0, 10))).toMatchObject({ message: expect.stringContaining('the/key.json is damaged'), hint: expect.stringContaining('prom-dr verify') })
  })

  test('of a text that is no JSON is refused although its checksum fits', () => {
    const text = sealJson({ a: 'x' }).replace('"a"', "'a'")
    const body = text.slice(0, text.lastIndexOf('"checksum"'))
    const digest = execFileSync('sha256sum', { input: body }).toString().slice(0, 64)
    expect(failureOf(Buffer.from(`${body}"checksum": "sha256:${digest}"}\n`))).toEqual(expect.objectContaining({ code: 'DAMAGED', message: expect.stringContaining('not JSON') }))
  })

  test('may lie in a larger buffer', () => {
    const larger = Buffer.concat([Buffer.from('xxx'), sealed, Buffer.from('yyy')])
    expect(unseal(larger.subarray(3, 3 + sealed.length))).toEqual(document)
  })
})

test('whatever JSON holds comes back from its seal', () => {
  const value = fc.dictionary(fc.string().filter((key) => key !== 'checksum' && key !== '__proto__'), fc.jsonValue(), { minKeys: 1 })
  fc.assert(fc.property(value, (object) => {
    const text = sealJson(object)
    expect(unseal(Buffer.from(text))).toEqual(JSON.parse(JSON.stringify(object)))
  }))
})
