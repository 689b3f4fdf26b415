import { PromDrError } from '../errors.ts'

const factors: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

/**
 * Bytes of a size: `8MiB` counts by 1024, `512MB` by 1000, a plain number is bytes. Fractions are allowed (`1.5GiB`).
 * @throws USAGE for anything else
 */
export function parseByteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim())
  const factor = match === null ? undefined : factors[(match[2] || 'b').toLowerCase()]
  const sizeBytes = factor === undefined ? Number.NaN : Math.round(Number(match?.[1]) * factor)
  if (!Number.isSafeInteger(sizeBytes)) {
    throw new PromDrError('USAGE', `${JSON.stringify(text)} is not a size`, {
      hint: 'write a number and a unit: 8MiB, 512MB, 2GiB',
    })
  }
  return sizeBytes
}

/** For people: three digits or so, in units of 1024 (`0 B`, `812 B`, `4.2 KiB`, `118 MiB`). */
export function formatByteSize(sizeBytes: number): string {
  if (Math.abs(sizeBytes) < 1024) return `${Math.round(sizeBytes)} B`
  let value = sizeBytes
  let unit = 'B'
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']) {
    if (Math.abs(value) < 1023.5) break
    value /= 1024
    unit = next
  }
  return `${Math.abs(value) < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${unit}`
}
