import { hasCode } from '../../errors.ts'
import { type ReloadingServer, type TakenOver, outcomeUnknown, reload, runsOnOlder } from '../configuration/reload.ts'
import type { AlertmanagerComponentContext } from './settings.ts'

/**
 * Has the running server read its configuration anew, and reads back from its metrics whether it did.
 * @throws COMPONENT_FAILED with its reason, when it refuses it: it goes on with what it had
 */
export async function takeOver(context: AlertmanagerComponentContext, signal: AbortSignal): Promise<TakenOver> {
  const server = serverOf(context)
  try {
    return await reload(server, { command: context.settings.reload, clock: context.clock, signal })
  } catch (error) {
    if (!hasCode(error, 'ALERTMANAGER_UNREACHABLE', 'ALERTMANAGER_BAD_RESPONSE')) throw error
    throw outcomeUnknown(server, error)
  }
}

/** Whether the server runs on older files than these. */
export function isBehind(context: AlertmanagerComponentContext, paths: readonly string[], signal: AbortSignal): Promise<boolean> {
  return runsOnOlder(serverOf(context), paths, signal)
}

function serverOf({ api }: AlertmanagerComponentContext): ReloadingServer {
  return { name: 'Alertmanager', reload: (signal) => api.reload({ signal }), lastReload: (signal) => api.configReload({ signal }), witness: 'its metrics say' }
}
