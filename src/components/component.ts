/**
 * A part of the monitoring stack beside the TSDB: how it is found, collected, checked and restored. Between a component and an archive
 * stands a directory of plain files, so that no component knows of archives, encryption or repositories:
 * `collect` fills one, and after a restore the same files lie in another one, contained and checked against their digest, but hostile all
 * the same (another machine may have written them).
 *
 * Obligations of every implementation, held by `test/contracts/component-contract.ts`:
 * - What has not changed is collected as the same bytes below the same paths: archives are stored once per content.
 * - The components' own programs and servers are left as they were by `discover`, `collect` and `check`.
 * - `restore` moves what it replaces aside, is idempotent, and touches nothing beyond the places that its own settings name.
 * - Secrets are collected only where `secrets` says that the archive will be encrypted; otherwise they are named in `leftOut`.
 * - Errors are PromDrErrors with a hint; no secret stands in a message.
 */
export interface Component {
  /** Unique among the components of a configuration: the archive's folder and the name for `--only`. */
  readonly name: ComponentName
  /** What it is: `prometheus`, `alertmanager`, `grafana`, `files`, `command`… */
  readonly kind: string

  /** Looks whether everything needed is in reach, for `doctor`. Never throws for what it looks at. */
  discover(options: { signal: AbortSignal }): Promise<Finding[]>

  /** Fills the empty directory with what is to be archived. @throws when there is nothing to archive */
  collect(into: string, options: CollectOptions): Promise<Collected>

  /** Judges collected or restored files by the component's own program (`promtool`, `amtool`, `haproxy -c`…). */
  check(directory: string, options: { signal: AbortSignal }): Promise<Finding[]>

  /** Brings the files back to where the component's settings say, and has the running program take them over. */
  restore(from: string, options: RestoreComponentOptions): Promise<RestoredComponent>

  /** Where the component's data lies outside archives: what keeps it in each repository. `collect` still gives an archive, of whatever describes it. */
  readonly external?: ExternalData
}

/**
 * Data that the component's own tool stores in a repository's store (`vmbackup`). Every recovery point has a place of its own there, and a
 * place never changes after its recovery point was committed; what is unchanged may be copied within the store from the place before.
 */
export interface ExternalData {
  /**
   * Stores everything below `place`, which is empty, or partly filled by a run that failed. Called for one repository after the other,
   * after `collect`. What lies there afterwards is listed and counted by the caller.
   */
  store(place: ExternalPlace, options: { previous: ExternalPlace | undefined; recoveryPoint: string; signal: AbortSignal }): Promise<{ warnings: string[] }>

  /** As `Component.restore`, with what `store` left below the place; comes before it. */
  restore(place: ExternalPlace, options: RestoreComponentOptions): Promise<RestoredComponent>

  /** Brings it into an empty directory instead, for `--components-target`. */
  extract(place: ExternalPlace, into: string, options: { signal: AbortSignal }): Promise<void>
}

/** A place in a repository, in the words that a program other than ours is told it in. */
export interface ExternalPlace {
  /** Of the repository: `file:///dir` or `s3://bucket/prefix`, without a trailing slash. */
  url: string
  /** Below it, ending in `/`. */
  prefix: string
  /** Access as configured; credentials that are absent come from the environment, as for our own client. */
  s3?: { region?: string; endpoint?: string; forcePathStyle?: boolean; profile?: string; accessKeyId?: string; secretAccessKey?: string; sessionToken?: string; caFile?: string }
}

/** Lowercase letters, digits, dashes and underscores, beginning with a letter or digit, 1 to 63 of them. */
export type ComponentName = string

/** One thing that was looked at. `warn` does not stop anything; `fail` refuses a restore unless forced. */
export interface Finding {
  name: string
  level: 'ok' | 'warn' | 'fail'
  detail: string
  /** What to do about it. */
  advice?: string
}

export interface CollectOptions {
  /** The archive will be encrypted: credentials may be in it. */
  secrets: boolean
  signal: AbortSignal
}

export interface Collected {
  /** What belongs to the component and is not in the directory, and why. */
  leftOut: { path: string; reason: string }[]
  warnings: string[]
}

export interface RestoreComponentOptions {
  /** Installs what `check` says is broken, too. */
  force: boolean
  /** Only says what would be done. */
  dryRun: boolean
  /** Parts of the component, where it has any (folders of Grafana); empty means all. */
  parts: readonly string[]
  signal: AbortSignal
}

export interface RestoredComponent {
  /** What was done, or would be, in the order it was done: for people. */
  actions: string[]
  /** Where replaced files now lie. */
  movedAside: { from: string; to: string }[]
  /** What a person has to enter again, such as passwords that the program never gives out. */
  toReenter: string[]
  warnings: string[]
}
