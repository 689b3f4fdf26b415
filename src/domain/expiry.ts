/** What becomes of something stored that recovery points name. */
export type ExpiryStep =
  /** A recovery point or a running backup names it: it stays as it is. */
  | 'keep'
  /** A recovery point names it although it is marked: the mark goes. */
  | 'take-back'
  /** Nothing names it: its time begins. */
  | 'mark'
  /** Nothing names it, and its mark is not known to be of age. */
  | 'wait'

export interface Candidate {
  marked: boolean
  /** By a manifest of any instance. */
  named: boolean
  /** By the intent of a running backup. Marks are its own to take back. */
  intended: boolean
}

/** The first phase; what is marked already is looked at again, one by one, just before it goes. */
export function expiryStep({ marked, named, intended }: Candidate): ExpiryStep {
  if (named) return marked ? 'take-back' : 'keep'
  if (intended) return 'keep'
  return marked ? 'wait' : 'mark'
}
