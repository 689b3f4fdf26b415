import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Component, Finding } from './component.ts'
import { createFilesComponent } from './files.ts'

export interface PushgatewaySettings {
  /** Its `--persistence.file`. */
  persistenceFile: string
  now: () => Date
}

/** What jobs have pushed. The Pushgateway writes its file every five minutes by default, and when it ends. */
export function createPushgatewayComponent({ persistenceFile, now }: PushgatewaySettings): Component {
  return createFilesComponent({
    name: 'pushgateway', kind: 'pushgateway', paths: [persistenceFile], now,
    check: async (directory) => [await looksPersisted(join(directory, persistenceFile))],
    reload: async () => ({ actions: [], warnings: ['a Pushgateway that is running writes its own state over the file when it ends: restore while it is stopped, then start it'] }),
  })
}

/** Go's gob begins with the length of its first message, so that a file of zeros or text is none. */
async function looksPersisted(path: string): Promise<Finding> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const start = Buffer.alloc(4)
    await handle.read(start, 0, 4, 0)
    const plausible = size > 4 && !start.equals(Buffer.alloc(4)) && (start[0]! <= 0x7f || start[0]! >= 0xf8)
    return plausible
      ? { name: 'persistence file', level: 'ok', detail: `${size} bytes` }
      : { name: 'persistence file', level: 'fail', detail: `${path} (${size} bytes) is not what a Pushgateway writes`, advice: 'take an older recovery point' }
  } finally {
    await handle.close()
  }
}
