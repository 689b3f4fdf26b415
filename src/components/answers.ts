import type { PromDrError } from '../errors.ts'
import type { Finding, RestoredComponent } from './component.ts'

/** What was looked at could not be used, in the words of the error. */
export function failedFinding(name: string, { message, hint }: PromDrError): Finding {
  return { name, level: 'fail', detail: message, ...(hint !== undefined && { advice: hint }) }
}

/** What several steps of one restore did, in their order; nothing for none. */
export function restoredBy(...parts: readonly Partial<RestoredComponent>[]): RestoredComponent {
  return {
    actions: parts.flatMap(({ actions = [] }) => actions),
    movedAside: parts.flatMap(({ movedAside = [] }) => movedAside),
    toReenter: parts.flatMap(({ toReenter = [] }) => toReenter),
    warnings: parts.flatMap(({ warnings = [] }) => warnings),
  }
}
