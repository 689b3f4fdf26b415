import { PromDrError, messageOf } from '../../errors.ts'
import type { DoctorCheck, DoctorReport } from './doctor-report.ts'
import { checkEncryption, checkSecretFiles } from './doctor-encryption.ts'
import { checkLocks } from './doctor-locks.ts'
import { checkPlacement } from './doctor-placement.ts'
import { checkComponents } from '../components/doctor-components.ts'
import { checkRepository } from './doctor-repository.ts'
import { checkRestore } from './doctor-restore.ts'
import { checkServer } from './doctor-server.ts'
import { checkShipping } from './doctor-shipping.ts'
import type { DoctorContext } from './doctor-context.ts'

/**
 * Looks at every precondition of every verb that is configured. Nothing is changed but for probe objects, which are
 * removed again. A part that cannot be looked at is a failed check, never a failed doctor.
 */
export async function doctor(context: DoctorContext): Promise<DoctorReport> {
  const checks: DoctorCheck[] = [...checkHost(context), ...checkSecretFiles(context)]
  const server = await guarded('prometheus', 'looked at', () => checkServer(context))
  checks.push(...server)
  for (const repository of context.repositories) {
    const area = `repository ${repository.name}`
    checks.push(...(await guarded(area, 'reachable', () => checkRepository(context, repository))), ...(await guarded(area, 'locks', () => checkLocks(context, repository))), ...(await guarded(area, 'encryption', () => checkEncryption(context, repository))), ...(await guarded(area, 'placement', () => checkPlacement(context, repository))))
  }
  if (context.components !== undefined) checks.push(...(await checkComponents(context.components, context.signal)))
  checks.push(...(await guarded('ship', 'metrics file', () => checkShipping(context))))
  checks.push(...(await guarded('restore', 'looked at', () => checkRestore(context))))
  return { ok: checks.every((check) => check.status !== 'fail'), checks }
}

async function guarded(area: string, name: string, look: () => Promise<DoctorCheck[]>): Promise<DoctorCheck[]> {
  try {
    return await look()
  } catch (error) {
    if (!(error instanceof PromDrError) || error.code === 'INTERRUPTED' || error.code === 'INTERNAL') throw error
    return [{ area, name, status: 'fail', detail: messageOf(error), advice: error.hint ?? 'see the message' }]
  }
}

function checkHost(context: DoctorContext): DoctorCheck[] {
  const area = 'host'
  const [major = 0, minor = 0] = context.host.nodeVersion.replace('v', '').split('.').map(Number)
  const old = major < 20 || (major === 20 && minor < 19)
  const node: DoctorCheck = old
    ? { area, name: 'Node.js', status: 'fail', detail: context.host.nodeVersion, advice: 'install Node.js 20.19 or later' }
    : major < 22
      ? { area, name: 'Node.js', status: 'warn', detail: `${context.host.nodeVersion}: releases of the AWS SDK after January 2027 need 22`, advice: 'plan the move to Node.js 22 or later' }
      : { area, name: 'Node.js', status: 'ok', detail: context.host.nodeVersion }
  const { config } = context.host
  if (config === null) return [node, { area, name: 'configuration', status: 'warn', detail: 'none: everything is discovered, the repository is below the working directory', advice: 'run "prom-dr init" and look at what it wrote' }]
  const open = (config.mode & 0o077) !== 0 && config.holdsSecrets
  return [node, open
    ? { area, name: 'configuration', status: 'warn', detail: `${config.path} holds secrets and others may read it`, advice: `chmod 600 ${config.path}` }
    : { area, name: 'configuration', status: 'ok', detail: config.path }]
}
