import { ownerNames } from '../system/machine.ts'

/** Of a file, as archives have it: `user:group`, in numbers where they have no names. */
export async function ownerOf({ uid, gid }: { uid: number; gid: number }): Promise<string> {
  const { user, group } = await ownerNames(uid, gid)
  return `${user ?? uid}:${group ?? gid}`
}
