import { getPriority, setPriority } from 'node:os'

/** Gives this process at least this niceness, 0 to 19, so that it runs when others do not want to. One that is nicer already stays so: going back takes privileges. */
export function stepBack(niceness: number): void {
  if (getPriority() < niceness) setPriority(niceness)
}
