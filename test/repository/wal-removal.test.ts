import { describe, expect, it } from 'vitest'
import { removeCheckpoint, removeGeneration, removeRemains, removeSegments } from '../../src/repository/wal-removal.ts'
import { listPieces, storePiece } from '../../src/repository/wal-stream.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { bytesBody } from '../../src/stores/object-store.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'

const generation = '20260101T000000Z-aaaaaaaa'
const other = '20260102T000000Z-bbbbbbbb'
const hourMs = 3_600_000

/** A generation with three segments, two checkpoints and everything beside them. */
async function stream(seenAt = Date.now() - hourMs) {
  const store = createMemoryStore()
  const put = (path: string) => store.create(`instances/prom-a/wal/${generation}/${path}`, bytesBody(Buffer.from('x')))
  await put('generation.json')
  await put('heartbeat.json')
  for (const segment of [1, 2, 3]) {
    const piece = { log: 'wal' as const, segment, start: 0, end: 4, newestSample: null, seenAt, digest: 'a'.repeat(64), predecessor: undefined, sealed: true }
    await storePiece(store, 'prom-a', { generation, piece, bytes: Buffer.from('abcd') })
    await put(`wal/${String(segment).padStart(8, '0')}/${'b'.repeat(64)}.times.json`)
  }
  for (const segment of ['00000001', '00000002']) {
    await put(`checkpoints/${segment}/00000000-000000000001-${'c'.repeat(64)}.br`)
    await put(`checkpoints/${segment}/checkpoint.json`)
  }
  const names = () => [...store.objects.keys()].map((key) => key.replace(/^.*?[abw]{8}\//, '').replace(/[a-c]{64}.*/, '…')).sort()
  return { store, names }
}

describe('the removal of old WAL', () => {
  it('takes all of a segment', async () => {
    const { store, names } = await stream()
    const pieces = (await listPieces(store, 'prom-a', { generation, log: 'wal' })).filter(({ segment }) => segment < 3)
    await removeSegments(store, 'prom-a', { generation, pieces })
    expect(names().filter((name) => name.startsWith('wal/')).every((name) => name.startsWith('wal/00000003/'))).toBe(true)
    expect(names().filter((name) => name.startsWith('wal/'))).toHaveLength(2)
  })

  it('of a checkpoint is finished by the next run where it was interrupted, and only there', async () => {
    const { store, names } = await stream()
    const faulty = createFaultyStore(store, [{ verb: 'delete', call: 2, at: 'before' }])
    await expect(removeCheckpoint(faulty, 'prom-a', { generation, segment: 1 })).rejects.toThrow('scripted fault')
    expect(names().filter((name) => name.includes('00000001/')).filter((name) => name.startsWith('checkpoints/'))).toHaveLength(1)
    const remove = (known: number[]) => removeRemains(store, 'prom-a', { known: [{ id: generation, checkpoints: known }], beforeMs: 0 })
    // Before a later one is complete, a checkpoint without its document is one that is being shipped.
    expect(await remove([])).toEqual([])
    expect(await remove([2])).toEqual([expect.stringContaining('checkpoints/00000001/')])
    expect(names().filter((name) => name.startsWith('checkpoints/'))).toHaveLength(2)
    expect(await remove([2])).toEqual([])
  })

  it('of a generation is finished by the next run when all of it is old', async () => {
    const { store } = await stream()
    const faulty = createFaultyStore(store, [{ verb: 'delete', call: 2, at: 'before' }])
    await expect(removeGeneration(faulty, 'prom-a', { generation })).rejects.toThrow('scripted fault')
    const remove = (beforeMs: number) => removeRemains(store, 'prom-a', { known: [{ id: other, checkpoints: [] }], beforeMs })
    expect(await remove(Date.now() - hourMs)).toEqual([])
    expect(await remove(Date.now() + hourMs)).toHaveLength(1)
    expect(store.objects.size).toBe(0)
  })

  it('leaves a generation without its document alone as long as something young is in it: somebody may want to rescue it', async () => {
    const { store } = await stream(Date.now() + 10 * hourMs)
    await store.delete([`instances/prom-a/wal/${generation}/generation.json`])
    const before = store.objects.size
    expect(await removeRemains(store, 'prom-a', { known: [], beforeMs: Date.now() + hourMs })).toEqual([])
    expect(store.objects.size).toBe(before)
  })
})
