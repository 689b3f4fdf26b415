/** A file of an archive, or of a scratch directory, and where it belongs. */
export interface Placement {
  source: string
  destination: string
  /** `user:group` that it had. */
  owner: string | undefined
  /** What a symbolic link leads to, as it is written: there is no source then. */
  linkTo?: string
}
