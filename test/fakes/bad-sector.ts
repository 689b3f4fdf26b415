import { open, stat } from 'node:fs/promises'

/** Reads of the file, under whichever of its names, fail as those of a disk that cannot give its bytes; `mend` undoes it. `hits` counts them. */
export async function badSector(path: string): Promise<{ readonly hits: number; mend(): void }> {
  const { ino } = await stat(path)
  const probe = await open(path, 'r')
  const handles = Object.getPrototypeOf(probe) as { read(...args: unknown[]): Promise<unknown> }
  await probe.close()
  const { read } = handles
  const sector = { hits: 0, mend: () => void (handles.read = read) }
  handles.read = async function (this: typeof probe, ...args: unknown[]) {
    if ((await this.stat()).ino !== ino) return read.apply(this, args)
    sector.hits += 1
    throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', errno: -5, syscall: 'read' })
  }
  return sector
}
