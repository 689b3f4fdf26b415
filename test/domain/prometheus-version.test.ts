import { describe, expect, it } from 'vitest'
import { canReadDataOf, recordsLostBy, compareVersions, formatVersion, isAtLeast, parsePrometheusVersion, type PrometheusVersion } from '../../src/domain/prometheus-version.ts'

const version = (text: string): PrometheusVersion => parsePrometheusVersion(text)!

describe('a version', () => {
  it.each([
    ['2.42.0', '2.42.0'],
    ['2.42.0+ds', '2.42.0'],
    ['v3.5.3', '3.5.3'],
    ['3.0.0-rc.1', '3.0.0'],
    ['2.53', '2.53.0'],
  ])('is read from %s', (text, expected) => {
    expect(formatVersion(version(text))).toBe(expected)
  })

  it.each(['', 'latest', '2', '2.x', '2.42.0 extra'])('is not read from "%s"', (text) => {
    expect(parsePrometheusVersion(text)).toBeUndefined()
  })

  it('is compared by its numbers', () => {
    const sorted = ['3.0.0', '2.9.1', '2.10.0', '2.9.0'].map(version).sort(compareVersions).map(formatVersion)
    expect(sorted).toEqual(['2.9.0', '2.9.1', '2.10.0', '3.0.0'])
    expect(isAtLeast(version('2.55.1'), 2, 55)).toBe(true)
    expect(isAtLeast(version('2.54.9'), 2, 55)).toBe(false)
  })
})

describe('data of another version', () => {
  it.each([
    ['2.42.0', '2.42.0'],
    ['2.42.1', '2.42.0'],
    ['2.42.0', '2.42.5'],
    ['3.5.0', '2.42.0'],
    ['3.5.0', '2.0.0'],
  ])('is read by %s without loss when %s wrote it', (target, source) => {
    expect(canReadDataOf(version(target), version(source))).toEqual({ readable: true })
  })

  it.each([
    ['2.42.0', '2.53.0'],
    ['2.55.0', '3.5.0'],
    ['3.4.0', '3.5.0'],
    ['2.39.0', '2.40.0'],
  ])('is read by %s with a warning when %s wrote it', (target, source) => {
    expect(canReadDataOf(version(target), version(source))).toEqual({ readable: true, warning: expect.any(String) })
  })

  it.each([
    ['2.54.1', '3.0.0'],
    ['2.42.0', '3.5.0'],
    ['1.8.2', '2.0.0'],
    ['2.0.0', '1.8.2'],
    ['3.5.0', '4.0.0'],
  ])('is not read by %s when %s wrote it', (target, source) => {
    expect(canReadDataOf(version(target), version(source))).toEqual({ readable: false, reason: expect.stringContaining(source) })
  })
})

describe('a log', () => {
  it('loses records on a server from before there were such', () => {
    expect(recordsLostBy(version('2.42.0'), [1, 2, 3, 6, 7, 8, 9, 10])).toEqual([{ name: 'histograms with custom buckets', since: '3.1' }, { name: 'histograms of floats with custom buckets', since: '3.1' }])
    expect(recordsLostBy(version('2.39.0'), new Set([8, 7])).map(({ since }) => since)).toEqual(['2.40', '2.42'])
    expect(recordsLostBy(version('3.12.0'), [11, 12]).map(({ since }) => since)).toEqual(['3.13'])
  })

  it('loses nothing on one that knows all of them, and what no release is known for is not judged', () => {
    expect(recordsLostBy(version('3.13.0'), Array.from({ length: 256 }, (_, type) => type))).toEqual([])
  })
})
