import { Readable } from 'node:stream'
import { messageOf, PromDrError } from '../errors.ts'
import { giveBack, leastLargeBytes, lend, takeBuffer } from '../system/direct-io.ts'
import { interrupted } from './interruption.ts'
import type { S3Connection } from './s3-client.ts'

interface Announced {
  key: string
  announcedBytes: number
  signal: AbortSignal | undefined
}

/**
 * Passes the bytes of an answer on and ends with an error when the connection is cut, falls silent, or closes early; what came
 * before is given first. Large answers are gathered into large pieces, in memory that is used again: what a socket gives is
 * small, and costs more to hand on than to check.
 */
export function checkedBody(connection: S3Connection, source: Readable, { key, announcedBytes, signal }: Announced): Readable {
  const gathered = announcedBytes >= leastLargeBytes
  let seenBytes = 0
  let wanted = false
  let over: { error?: PromDrError } | undefined
  const body = new Readable({
    objectMode: true,
    highWaterMark: gathered ? 1 : 16,
    read() {
      wanted = true
      if (over === undefined) source.resume()
      else finish(over)
    },
    destroy(error, callback) {
      clearTimeout(silence)
      signal?.removeEventListener('abort', onAbort)
      source.destroy()
      gathering.drop()
      callback(error)
    },
  })
  const give = (piece: Buffer) => {
    wanted = false
    if (!body.push(piece)) source.pause()
  }
  const gathering = gatherPieces(give)
  const finish = (end: { error?: PromDrError }) => {
    over = end
    clearTimeout(silence)
    if (!wanted) return
    if (end.error === undefined) body.push(null)
    else body.destroy(end.error)
  }
  const cut = (reason: string) => new PromDrError('STORE_UNREACHABLE', `reading ${key} in ${connection.url} was cut: ${reason}`, { hint: 'check the network between this host and the store' })
  const end = (reason?: string) => {
    if (over !== undefined || body.destroyed) return
    gathering.flush()
    finish(reason === undefined && seenBytes === announcedBytes ? {} : { error: cut(reason ?? `${seenBytes} of ${announcedBytes} bytes came`) })
  }
  source.on('data', (chunk: Buffer) => {
    seenBytes += chunk.byteLength
    silence.refresh()
    if (gathered) gathering.add(chunk)
    else give(chunk)
  })
  source.on('end', () => end())
  source.on('error', (error) => end(`${messageOf(error)} after ${seenBytes} of ${announcedBytes} bytes`))
  source.on('close', () => end(`the connection was closed after ${seenBytes} of ${announcedBytes} bytes`))
  source.pause()
  const onAbort = () => body.destroy(interrupted(signal))
  // The socket's own timer also runs while the reader is slow to take the bytes; this one runs only while none come.
  ;(source as { socket?: { setTimeout(ms: number): void } }).socket?.setTimeout(0)
  const silence = setTimeout(() => {
    if (body.readableLength > 0) silence.refresh()
    else end(`nothing came for ${connection.timeoutMs} ms after ${seenBytes} of ${announcedBytes} bytes`)
  }, connection.timeoutMs)
  if (signal?.aborted) onAbort()
  else signal?.addEventListener('abort', onAbort, { once: true })
  return body
}

interface Gathering {
  add(chunk: Buffer): void
  /** Gives what there is. */
  flush(): void
  drop(): void
}

/** Full pieces are given at once, others when the network pauses. */
function gatherPieces(give: (piece: Buffer) => void): Gathering {
  let buffer: Buffer | undefined
  let filledBytes = 0
  let lookingOn = false
  let arrived = false

  function flush(): void {
    if (buffer === undefined) return
    const piece = lend(buffer, filledBytes)
    buffer = undefined
    filledBytes = 0
    give(piece)
  }

  function look(): void {
    lookingOn = arrived
    arrived = false
    if (lookingOn) setImmediate(look)
    else flush()
  }

  return {
    flush,
    add(chunk) {
      for (let taken = 0; taken < chunk.length; ) {
        buffer ??= takeBuffer()
        const bytes = chunk.copy(buffer, filledBytes, taken)
        filledBytes += bytes
        taken += bytes
        if (filledBytes === buffer.length) flush()
      }
      arrived = true
      if (lookingOn) return
      lookingOn = true
      setImmediate(look)
    },
    drop() {
      if (buffer !== undefined) giveBack(buffer)
      buffer = undefined
    },
  }
}
