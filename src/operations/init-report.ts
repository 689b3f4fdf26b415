export interface InitRequest {
  /** The file to write; refused when it exists. */
  output: string
  /** Only answer the text. */
  stdout: boolean
}

export interface InitReport {
  /** Null with --stdout. */
  path: string | null
  text: string
  discovered: { name: string; value: string }[]
  warnings: string[]
}
