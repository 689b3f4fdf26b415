import pc from 'picocolors'

/** What the command line needs of stdout and stderr. */
export interface OutputStream extends NodeJS.WritableStream {
  isTTY?: boolean
  columns?: number
}

/** Colours, or none: every function gives its text back unchanged where colours are off. */
export type Style = Pick<ReturnType<typeof pc.createColors>, 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'>

export function createStyle(colour: boolean): Style {
  return pc.createColors(colour)
}

/** On a terminal unless told otherwise; --no-color, then NO_COLOR, then FORCE_COLOR decide. */
export function colourWanted(stream: OutputStream, env: NodeJS.ProcessEnv, options: { color: boolean }): boolean {
  if (!options.color || (env['NO_COLOR'] ?? '') !== '') return false
  const forced = env['FORCE_COLOR']
  if (forced !== undefined) return forced !== '0' && forced !== 'false'
  return cursorMoves(stream, env)
}

/** Whether it is a terminal that understands more than lines. */
export function cursorMoves(stream: OutputStream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && env['TERM'] !== 'dumb'
}
