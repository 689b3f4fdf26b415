import { PromDrError } from '../../src/errors.ts'
import { ship } from '../../src/operations/ship/ship.ts'
import type { ShipContext } from '../../src/operations/ship/ship.ts'
import type { ShipReport, ShipRequest } from '../../src/operations/ship/ship-report.ts'
import type { NamedStore } from '../../src/operations/backup/backup.ts'
import type { PrometheusApi } from '../../src/integrations/prometheus/prometheus-api.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { isDeadHere, ownerNames, thisProcess } from '../../src/system/machine.ts'
import { atEndOfFile } from './cleanup.ts'

/** A log is shipped whether or not its server answers. */
export const noServer = {
  config: () => Promise.reject(new PromDrError('PROMETHEUS_UNREACHABLE', 'no server is there')),
  runtimeInfo: () => Promise.reject(new PromDrError('PROMETHEUS_UNREACHABLE', 'no server is there')),
} as unknown as PrometheusApi

export type ShipOverrides = Partial<Omit<ShipContext, 'settings' | 'repositories'>> & { settings?: Partial<ShipContext['settings']> }

export const defaultShipSettings: ShipContext['settings'] = { intervalMs: 2000, partBytes: 8 * 2 ** 20, holdBytes: 2 ** 30, windowMs: 72 * 3_600_000 }

export function shipContext(prometheus: PrometheusApi, stores: ObjectStore | readonly NamedStore[], overrides: ShipOverrides = {}): ShipContext {
  const self = thisProcess()
  const { settings, ...others } = overrides
  return {
    instance: 'prom-a', prometheus, repositories: 'url' in stores ? [{ name: 'primary', store: stores }] : stores, self,
    isDead: (other) => isDeadHere(other, self), ownerNames, cpuLimit: { rest: async () => undefined }, clock: systemClock, logger: silentLogger, signal: new AbortController().signal,
    settings: { ...defaultShipSettings, ...settings }, ...others,
  }
}

/** One pass. */
export function shipOnce(prometheus: PrometheusApi, stores: ObjectStore | readonly NamedStore[], options: ShipOverrides & { request?: Partial<ShipRequest> } = {}): Promise<ShipReport> {
  const { request, ...overrides } = options
  return ship(shipContext(prometheus, stores, overrides), { once: true, adopt: false, newGeneration: false, repositories: [], ...request })
}

export interface RunningShipper {
  /** Ends it as an interrupt does. */
  stop(): Promise<ShipReport>
}

/** Ships until it is stopped, at the latest at the end of the test file. */
export function startShipping(prometheus: PrometheusApi, stores: ObjectStore | readonly NamedStore[], options: ShipOverrides & { request?: Partial<ShipRequest> } = {}): RunningShipper {
  const { request, ...overrides } = options
  const interrupt = new AbortController()
  const running = ship(shipContext(prometheus, stores, { ...overrides, signal: interrupt.signal }), { once: false, adopt: false, newGeneration: false, repositories: [], ...request })
  // Whoever stops it sees the failure.
  running.catch(() => undefined)
  const stop = async () => {
    interrupt.abort(new Error('stopped by the test'))
    return running
  }
  atEndOfFile(async () => void (await stop().catch(() => undefined)))
  return { stop }
}
