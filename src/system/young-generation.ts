import { setFlagsFromString } from 'node:v8'

/**
 * For a verb that stays beside a server for months: V8 lets its young generation grow to tens of megabytes in a burst of work, and garbage
 * wait in it. From now on it stays as small as it is. Of its settings this is the only one that a running process takes.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
