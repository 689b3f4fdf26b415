import { describe, expect, test } from 'vitest'
import { classKeptIn, classOf, isColder, lockOf } from '../../src/domain/tier-storage.ts'

const tiers = { daily: { storageClass: 'STANDARD_IA', lock: { mode: 'GOVERNANCE', days: 7 } }, monthly: { storageClass: 'GLACIER_IR', lock: { mode: 'COMPLIANCE', days: 365 } }, yearly: { lock: { mode: 'GOVERNANCE', days: 365 } } } as const

describe('the class of a tier', () => {
  test('is its own, or that of the next shorter tier that has one', () => {
    expect(['hourly', 'daily', 'weekly', 'monthly', 'yearly'].map((tier) => classOf(tier as 'daily', tiers))).toEqual([undefined, 'STANDARD_IA', 'STANDARD_IA', 'GLACIER_IR', 'GLACIER_IR'])
  })

  test('follows the shortest tier that keeps something: what is among the last ones is wanted first', () => {
    expect(classKeptIn(['monthly', 'yearly'], tiers)).toBe('GLACIER_IR')
    expect(classKeptIn(['monthly', 'daily'], tiers)).toBe('STANDARD_IA')
    expect(classKeptIn(['monthly', 'last'], tiers)).toBeUndefined()
    expect(classKeptIn(['newest'], { hourly: { storageClass: 'STANDARD_IA' } })).toBe('STANDARD_IA')
    expect(classKeptIn(['hold'], tiers)).toBeUndefined()
  })

  test('is moved to only where it is colder', () => {
    expect(isColder('GLACIER_IR', 'STANDARD')).toBe(true)
    expect(isColder('STANDARD', 'GLACIER_IR')).toBe(false)
    expect(isColder('STANDARD_IA', 'STANDARD_IA')).toBe(false)
    expect(isColder('STANDARD_IA', 'DEEP_ARCHIVE')).toBe(true)
  })
})

test('a recovery point is locked for the longest of its tiers, and the stricter of two as long', () => {
  expect(lockOf(['hourly'], tiers)).toBeUndefined()
  expect(lockOf(['hourly', 'daily'], tiers)).toEqual({ mode: 'GOVERNANCE', days: 7 })
  expect(lockOf(['daily', 'yearly', 'monthly'], tiers)).toEqual({ mode: 'COMPLIANCE', days: 365 })
})
