import { describe, expect, it } from 'vitest'
import pc from 'picocolors'
import { damageLine } from '../../src/cli/render/layout.ts'
import { renderAnswers } from '../../src/cli/render/verify.ts'

const style = pc.createColors(false)

describe('what people are told of damage', () => {
  it('names the object once, whether its reason does or not', () => {
    const line = (reason: string) => damageLine({ repository: 'primary', key: 'blocks/X/index', reason }, style)
    expect(line('is missing')).toBe('damaged: primary: blocks/X/index: is missing')
    expect(line('blocks/X/index is damaged: its checksum is wrong')).toBe('damaged: primary: blocks/X/index: its checksum is wrong')
  })

  it('does not call nothing equal', () => {
    const answers = { recoveryPoint: '20261121T030000Z-0079535b', equal: true, series: 0, samples: 0, queries: 0, skipped: 3, differences: [] }
    expect(renderAnswers(answers, style)).toBe('known answers of 20261121T030000Z-0079535b: none to compare (0 series, 0 samples, 0 queries; 3 not asked)')
    expect(renderAnswers({ ...answers, queries: 1 }, style)).toContain(': equal (')
  })
})
