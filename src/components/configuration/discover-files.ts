import { findProgram } from '../../system/programs.ts'
import { isReadable } from '../../system/readable.ts'
import type { Finding } from '../component.ts'
import type { Survey } from './survey.ts'

/** Whether a configuration and all that it names is there and can be archived by this user. */
export async function filesFindings(configFile: string, { files, warnings }: Survey): Promise<Finding[]> {
  const unreadable = (await Promise.all(files.map(async ({ path }) => ((await isReadable(path)) ? [] : [path])))).flat()
  const named = files.length - 1
  return [
    { name: 'configuration', level: 'ok', detail: `${configFile}, and ${named} ${named === 1 ? 'file' : 'files'} that it names` },
    ...warnings.map((warning): Finding => ({ name: 'named files', level: 'warn', detail: warning, advice: 'correct the configuration, or put the file there' })),
    ...unreadable.map((path): Finding => ({ name: 'named files', level: 'fail', detail: `${path} may not be read by this user`, advice: 'run prom-dr as a user who may' })),
  ]
}

export interface Checker {
  /** As the server's authors call it. */
  name: string
  /** A path, or a name found on PATH. */
  program: string
  debianPackage: string
  setting: string
}

/** Whether the program that judges the files is here. */
export function checkerFinding({ name, program, debianPackage, setting }: Checker): Finding {
  if (findProgram(program) !== undefined) return { name, level: 'ok', detail: `${program} is there` }
  return { name, level: 'warn', detail: `${program} is not installed here: what is archived and restored is not checked`, advice: `install it (Debian: ${debianPackage}), or set ${setting}` }
}
