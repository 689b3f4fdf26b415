import { type SimulatedSeries, encodeLabels } from './remote-write.ts'

export interface SeriesMix {
  /** Rates and gauges with random mantissas: nothing compresses them, so they make size (about 8 bytes a sample). */
  randomCount: number
  /** Request counters with resets, as exporters have them: 1 to 2 bytes a sample. */
  counterCount: number
  seed: number
}

/** The series of a simulated fleet; equal seeds give equal values. */
export function simulatedSeries(mix: SeriesMix): SimulatedSeries[] {
  const random = Array.from({ length: mix.randomCount }, (_, index) => randomGauge(index, mix.seed))
  const counters = Array.from({ length: mix.counterCount }, (_, index) => requestCounter(index, mix.seed))
  return [...random, ...counters]
}

function randomGauge(index: number, seed: number): SimulatedSeries {
  const draw = randomNumbers(seed + index)
  const encodedLabels = encodeLabels({ __name__: 'sensor_level_ratio', job: 'sensors', instance: instanceOf(index, 50), sensor: `s${index}` })
  return { encodedLabels, next: () => draw() + draw() / 2 ** 32 }
}

function requestCounter(index: number, seed: number): SimulatedSeries {
  const draw = randomNumbers(~(seed + index))
  const encodedLabels = encodeLabels({
    __name__: 'http_requests_total',
    job: 'web',
    instance: instanceOf(index, 20),
    handler: `/api/v1/resource/${index % 40}`,
    code: index % 7 === 0 ? '500' : '200',
    method: index % 3 === 0 ? 'POST' : 'GET',
    series: String(index),
  })
  let total = 0
  const next = () => {
    const drawn = draw()
    total = drawn > 0.99995 ? 0 : total + Math.floor(drawn * 30)
    return total
  }
  return { encodedLabels, next }
}

function instanceOf(index: number, perInstance: number): string {
  const host = Math.floor(index / perInstance)
  return `host-${String(host).padStart(4, '0')}.example:9100`
}

/** mulberry32: 32 random bits a call as a number in [0, 1), the same for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
