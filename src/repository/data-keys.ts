/**
 * The objects that hold samples, series or deletions: what is sealed where data is encrypted. Everything else stays readable, so that a
 * host without a secret key can back up, ship, expire and verify by listing: manifests, `meta.json` of blocks and the documents of the WAL
 * stream tell times, sizes, counts, digests, external labels and names, but no series and no sample.
 */
const ulid = '[0-9A-HJKMNP-TV-Z]{26}'
const instance = 'instances/[^/]+'
const dataKey = new RegExp(`^(${[
  `blocks/${ulid}/(index|chunks/\\d{6})`,
  `${instance}/heads/${ulid}/(index|chunks/\\d{6})`,
  `${instance}/tombstones/[0-9a-f]{64}`,
  `${instance}/wal/[^/]+/(wal|wbl)/\\d{8}/[^/]+\\.br`,
  `${instance}/wal/[^/]+/checkpoints/\\d{8}/[^/]+\\.br`,
].join('|')})$`)

/** What takes up space: the large files of blocks and heads, and archives; as they are stored, sealed or not. They may be in another class of storage. */
export function isBulkKey(key: string): boolean {
  return bulkKey.test(key)
}

const bulkKey = new RegExp(`^((blocks|${instance}/heads)/${ulid}/(index|chunks/\\d{6})(\\.age)?|${instance}/archives/.*(?<!\\.deletion-mark\\.json))$`)

export function isDataKey(key: string): boolean {
  return dataKey.test(key)
}
