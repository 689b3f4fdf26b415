import { describe, expect, it } from 'vitest'
import { ReusedBuffer } from '../../src/tsdb/reused-buffer.ts'

const mebibyte = 1024 * 1024

describe('ReusedBuffer', () => {
  it('gives the same memory again', () => {
    const memory = new ReusedBuffer()
    memory.begin(10)
    const first = memory.range(0, 10)
    memory.begin(20)
    expect(memory.range(0, 20).buffer).toBe(first.buffer)
  })

  it('keeps what was written when more is wanted than was expected', () => {
    const memory = new ReusedBuffer()
    memory.begin(10)
    memory.range(0, 10).fill('a')
    memory.range(10, 3 * mebibyte).fill('b')
    const all = memory.range(0, 3 * mebibyte)
    expect([all.length, all.toString('latin1', 0, 12)]).toEqual([3 * mebibyte, 'aaaaaaaaaabb'])
  })

  it('gives up memory that is far larger than what is wanted now, and no other', () => {
    const memory = new ReusedBuffer()
    memory.begin(2 * mebibyte)
    const usual = memory.range(0, 1).buffer
    memory.begin(1)
    expect(memory.range(0, 1).buffer).toBe(usual)
    memory.begin(64 * mebibyte)
    memory.begin(1)
    expect(memory.range(0, 1).buffer.byteLength).toBe(mebibyte)
  })

  it('takes no memory for nothing', () => {
    const memory = new ReusedBuffer()
    memory.begin(0)
    expect(memory.range(0, 0)).toHaveLength(0)
  })
})
