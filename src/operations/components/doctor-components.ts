import type { Finding } from '../../components/component.ts'
import { hasCode, messageOf } from '../../errors.ts'
import type { ComponentsContext, ConfiguredComponent } from './components-context.ts'
import type { DoctorCheck } from '../doctor/doctor-report.ts'

/** What each component says of what it needs. One that nobody asked for is never worse than a warning. */
export async function checkComponents({ components, encryption }: ComponentsContext, signal: AbortSignal): Promise<DoctorCheck[]> {
  const found = await Promise.all(components.map((configured) => lookAt(configured, signal)))
  const outside = encryption === undefined ? [] : components.filter(({ component }) => component.external !== undefined).map(({ component }): DoctorCheck => ({
    area: areaOf(component.name), name: 'encryption', status: 'warn', detail: 'its own tool stores its data, in the clear', advice: 'encrypt the store itself (S3 server-side encryption), or keep other people out of it',
  }))
  return [...found.flat(), ...outside]
}

async function lookAt({ component, asked }: ConfiguredComponent, signal: AbortSignal): Promise<DoctorCheck[]> {
  const area = areaOf(component.name)
  try {
    return (await component.discover({ signal })).map((finding) => checkOf(area, finding, asked))
  } catch (error) {
    signal.throwIfAborted()
    if (hasCode(error, 'INTERRUPTED')) throw error
    return [checkOf(area, { name: 'looked at', level: 'fail', detail: messageOf(error), advice: 'see the message' }, asked)]
  }
}

function checkOf(area: string, { name, level, detail, advice }: Finding, asked: boolean): DoctorCheck {
  if (level === 'ok') return { area, name, status: 'ok', detail }
  return { area, name, status: level === 'fail' && asked ? 'fail' : 'warn', detail, advice: advice ?? 'see the message' }
}

function areaOf(name: string): string {
  return `component ${name}`
}
