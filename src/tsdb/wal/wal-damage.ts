import { PromDrError } from '../../errors.ts'

/** Where a record is, for messages: the segment it was read from and the offset of its first fragment. */
export interface RecordPosition {
  file: string
  startOffset: number
}

/** Corruption in a write-ahead log. `offset` is in bytes of the segment; everything before it is good. */
export function walDamage(file: string, offset: number, reason: string): PromDrError {
  return new PromDrError('DAMAGED', `${file} is damaged at byte ${offset}: ${reason}`, {
    hint: 'everything before that byte is good; a Prometheus started on this log drops what follows, and wipes the log when it is a checkpoint that is damaged',
    details: { file, offset },
  })
}
