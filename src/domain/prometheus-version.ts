/** A release of Prometheus; what distributions append (`+ds`, `-rc.1`) does not count. */
export interface PrometheusVersion {
  major: number
  minor: number
  patch: number
}

/** Of `2.42.0`, `v3.5.0`, `2.53.3+ds1`, `3.0.0-rc.1`; undefined for anything else. */
export function parsePrometheusVersion(text: string): PrometheusVersion | undefined {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+~].*)?$/.exec(text.trim())
  if (match === null) return undefined
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3] ?? 0) }
}

/** Negative when `left` is the older one, 0 when equal. */
export function compareVersions(left: PrometheusVersion, right: PrometheusVersion): number {
  return left.major - right.major || left.minor - right.minor || left.patch - right.patch
}

export function isAtLeast(version: PrometheusVersion, major: number, minor: number): boolean {
  return compareVersions(version, { major, minor, patch: 0 }) >= 0
}

export function formatVersion(version: PrometheusVersion): string {
  return `${version.major}.${version.minor}.${version.patch}`
}

/** `warning` says what an older reader may miss although it starts. */
export type Readability = { readable: true; warning?: string } | { readable: false; reason: string }

/**
 * Whether a server of one version can be started on data that another wrote.
 *
 * - A newer or equal server reads what an older one wrote, from 2.0 on (storage of 1.x is another format).
 * - Data of 3.x is read by 2.55 and later only: from then on the index may have format 3
 *   (Prometheus 3.0 migration guide, "TSDB format and downgrade").
 * - An older server of the same major starts on newer data, but ignores WAL records and chunk encodings that it
 *   does not know: native histograms need 2.40.
 */
export function canReadDataOf(target: PrometheusVersion, source: PrometheusVersion): Readability {
  const names = `Prometheus ${formatVersion(target)} cannot read data of ${formatVersion(source)}`
  if (target.major !== source.major && Math.min(target.major, source.major) < 2) return { readable: false, reason: `${names}: the storage of 1.x is another format` }
  if (source.major >= 3 && !isAtLeast(target, 2, 55)) return { readable: false, reason: `${names}: data of 3.x needs 2.55 or later` }
  if (source.major > Math.max(target.major, 3)) return { readable: false, reason: `${names}: it is of a later major version` }
  if (compareVersions(target, source) >= 0) return { readable: true }
  if (isAtLeast(source, 2, 40) && !isAtLeast(target, 2, 40)) return { readable: true, warning: 'native histograms need 2.40 or later and would be missing' }
  if (source.major > target.major || source.minor > target.minor) {
    return { readable: true, warning: `Prometheus ${formatVersion(target)} is older than ${formatVersion(source)}, which wrote the data: record types that it does not know would be missing` }
  }
  return { readable: true }
}

/** Records of the WAL that carry samples and came with a release, by the code of their type. What a server does not know it passes over. */
const recordsSince: Record<number, { name: string; major: number; minor: number }> = {
  7: { name: 'native histograms', major: 2, minor: 40 },
  8: { name: 'native histograms of floats', major: 2, minor: 42 },
  9: { name: 'histograms with custom buckets', major: 3, minor: 1 },
  10: { name: 'histograms of floats with custom buckets', major: 3, minor: 1 },
  11: { name: 'samples with start times', major: 3, minor: 11 },
  12: { name: 'histograms with start times', major: 3, minor: 13 },
  13: { name: 'histograms of floats with start times', major: 3, minor: 13 },
}

/** What a server of a version would lose of a log with records of these types, and since when they are known. */
export function recordsLostBy(target: PrometheusVersion, types: Iterable<number>): { name: string; since: string }[] {
  return [...new Set(types)].sort((a, b) => a - b).flatMap((type) => {
    const known = recordsSince[type]
    return known === undefined || isAtLeast(target, known.major, known.minor) ? [] : [{ name: known.name, since: `${known.major}.${known.minor}` }]
  })
}
