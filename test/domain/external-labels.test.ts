import { expect, it } from 'vitest'
import { sameLabels, withExternalLabels } from '../../src/domain/external-labels.ts'

it('adds external labels where a series has none of that name', () => {
  expect(withExternalLabels({ __name__: 'up', replica: 'own' }, { replica: 'a', region: 'eu', empty: '' })).toEqual({ __name__: 'up', replica: 'own', region: 'eu' })
})

it('compares label sets in any order, an empty value being no label', () => {
  expect(sameLabels({ a: '1', b: '2' }, { b: '2', a: '1', c: '' })).toBe(true)
  expect(sameLabels({ a: '1' }, { a: '1', b: '2' })).toBe(false)
  expect(sameLabels({ a: '1' }, { a: '2' })).toBe(false)
})
