import { setInterval } from 'node:timers'
import { hasCode, messageOf } from '../../errors.ts'
import { readOrCreateFormat } from '../../repository/format.ts'
import { type Identity, claimInstance } from '../../repository/identity.ts'
import { clearDeadIntents } from '../../repository/intents.ts'
import { type Lease, acquireLease, leaseRenewalMs } from '../../repository/lease.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import { type BackupContext, type NamedStore, chooseRepositories } from './backup-context.ts'

/** A repository that takes part, with its lease held. */
export interface Participant extends NamedStore {
  lease: Lease
}

/** What makes a recovery point, of the TSDB or of components alone. */
export type ParticipantContext = Pick<BackupContext, 'instance' | 'repositories' | 'components' | 'self' | 'isDead' | 'clock' | 'logger' | 'signal'>

export interface ParticipantRequest {
  /** Names of configured repositories; empty means all. */
  repositories: readonly string[]
  /** Takes over an instance name that another machine or data directory wrote under. */
  adopt: boolean
  /** Whose recovery point it will be, in that repository. */
  identityFor(store: ObjectStore): Promise<Omit<Identity, 'machineId'>>
  /** Gets why a repository does not take part. */
  failed: Map<string, unknown>
}

/** Leases are taken in all repositories before a snapshot is asked for or a component's own program runs. @throws the first repository's error when all fail */
export async function openParticipants(context: ParticipantContext, request: ParticipantRequest): Promise<Participant[]> {
  const { instance, self, signal } = context
  const chosen = chooseRepositories(await context.repositories(), request.repositories)
  const opened = await Promise.all(chosen.map(async ({ name, store, tiering }): Promise<Participant | undefined> => {
    try {
      await readOrCreateFormat(store, context.clock.now(), { recipients: context.components?.encryption?.recipients, signal })
      await claimInstance(store, instance, { identity: { machineId: self.machineId, ...(await request.identityFor(store)) }, adopt: request.adopt, signal })
      const lease = await acquireLease({ store, instance, verb: 'backup', holder: self, isDead: context.isDead, signal })
      try {
        await clearDeadIntents(store, instance, { signal })
      } catch (error) {
        // They stand in nobody's way, but for an expiry, which could not remove anything there either.
        if (hasCode(error, 'STORE_DENIED', 'STORE_REJECTED')) context.logger.warn({ repository: name, code: error.code, error: error.message }, 'what earlier runs left could not be removed; this one goes on')
        else {
          await releaseQuietly(context, { name, store, lease })
          throw error
        }
      }
      return { name, store, tiering, lease }
    } catch (error) {
      request.failed.set(name, error)
      return undefined
    }
  }))
  const participants = opened.filter((participant) => participant !== undefined)
  if (participants.length === 0) throw firstOf(request.failed)
  return participants
}

/** An interruption outweighs what it made fail. */
export function firstOf(failed: Map<string, unknown>): unknown {
  const errors = [...failed.values()]
  return errors.find((error) => hasCode(error, 'INTERRUPTED')) ?? errors[0]
}

export async function releaseQuietly(context: Pick<ParticipantContext, 'logger'>, participant: Participant): Promise<void> {
  try {
    await participant.lease.release()
  } catch (error) {
    context.logger.warn({ repository: participant.name, error: messageOf(error) }, 'the lease could not be given back: it runs out by itself')
  }
}

/**
 * Renews the leases while something takes long before it is stored. That one could not be renewed is noticed when the recovery point is committed.
 * @returns what ends it
 */
export function keepLeases(context: Pick<ParticipantContext, 'logger'>, participants: readonly Participant[]): () => void {
  const renewAll = () => {
    for (const { name, lease } of participants) void lease.renew().catch((error: unknown) => context.logger.warn({ repository: name, error: messageOf(error) }, 'the lease could not be renewed'))
  }
  const timer = setInterval(renewAll, leaseRenewalMs)
  timer.unref()
  return () => clearInterval(timer)
}
