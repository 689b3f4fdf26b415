/**
 * The labels under which remote read returns a series of a server with these external labels: a series' own label wins.
 * Two series may then share one label set, when one of them carries the external label itself.
 */
export function withExternalLabels(labels: Record<string, string>, externalLabels: Record<string, string>): Record<string, string> {
  const added = Object.entries(externalLabels).filter(([, value]) => value !== '')
  return { ...Object.fromEntries(added), ...labels }
}

/** Whether two label sets are the same, in whatever order; an empty value is no label. */
export function sameLabels(left: Record<string, string>, right: Record<string, string>): boolean {
  const names = new Set([...Object.keys(left), ...Object.keys(right)])
  return [...names].every((name) => (left[name] ?? '') === (right[name] ?? ''))
}
