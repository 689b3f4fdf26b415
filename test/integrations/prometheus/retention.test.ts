import { describe, expect, it } from 'vitest'
import { parseRetention } from '../../../src/integrations/prometheus/retention.ts'
import { selectorOf } from '../../../src/integrations/prometheus/selectors.ts'

const day = 86_400_000

describe('the retention that a server prints', () => {
  it.each([
    ['15d', { timeMs: 15 * day }],
    ['100y', { timeMs: 36_500 * day }],
    ['1d12h', { timeMs: 1.5 * day }],
    ['15d or 512MiB', { timeMs: 15 * day, sizeBytes: 512 * 2 ** 20 }],
    ['100y or 1GiB512MiB', { timeMs: 36_500 * day, sizeBytes: 1536 * 2 ** 20 }],
    ['512MiB', { sizeBytes: 512 * 2 ** 20 }],
    ['100B', { sizeBytes: 100 }],
    ['15d or 80%', { timeMs: 15 * day, diskPercent: 80 }],
    ['0s', {}],
    ['', {}],
  ])('%s', (text, expected) => {
    expect(parseRetention(text)).toEqual(expected)
  })

  it('is not guessed when it is written in another way', () => {
    expect(() => parseRetention('15d or forever')).toThrow(expect.objectContaining({ code: 'PROMETHEUS_BAD_RESPONSE' }))
  })
})

describe('a selector', () => {
  it('escapes what would end the string, and quotes names of the newer kind', () => {
    const matchers = [{ type: '=' as const, name: 'a', value: '"},up{x="' }, { type: '!~' as const, name: 'service.name', value: 'a\nb\\' }]
    expect(selectorOf(matchers)).toBe('{a="\\"},up{x=\\"","service.name"!~"a\\x0ab\\\\"}')
  })
})
