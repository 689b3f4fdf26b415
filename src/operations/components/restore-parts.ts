import { PromDrError } from '../../errors.ts'
import type { ComponentsContext } from './components-context.ts'
import { type RestoreContext, restore } from '../restore/restore.ts'
import { type RecordRestoredRequest, recordRestored } from './record-restored.ts'
import type { RestorePartsReport, RestorePartsRequest, RestoredComponentReport } from './restore-components-report.ts'
import { withPreparedComponents } from './restore-components.ts'
import { Stopwatch } from '../stopwatch.ts'

type Stage = Stopwatch['stages'][number]

/**
 * Restores the TSDB, components, or both: components only where they are named. Those lie ready and checked before the TSDB is touched;
 * they are put in place after it, since a refused or failed restore of the TSDB leaves everything as it was.
 */
export async function restoreParts(context: RestoreContext & { components: ComponentsContext }, request: RestorePartsRequest): Promise<RestorePartsReport> {
  const { only, all = false } = request
  const withTsdb = all || only === undefined || only.includes('tsdb')
  const withComponents = all || only?.some((name) => name !== 'tsdb') === true
  if (only?.length === 0) throw new PromDrError('USAGE', 'nothing is named to be restored', { hint: 'name tsdb, config or other components with --only, or give --all' })
  if (!withComponents) return restore(context, request)
  const watch = new Stopwatch(context.clock, context.decidedAtMs)
  const startedAfterMs = watch.totalMs()
  return withPreparedComponents(context, request, async (prepared) => {
    if (withTsdb) {
      const tsdb = await restore(context, request)
      const components = await prepared.restore()
      const unrecorded = await record(components, { requestedAt: tsdb.requestedAt, stages: [], bytes: prepared.bytes, recoverableAt: isoOrNull(prepared.newestMs) })
      return { ...tsdb, stages: stagesOf(tsdb.stages, startedAfterMs), bytes: tsdb.bytes + prepared.bytes, repaired: [...tsdb.repaired, ...prepared.repaired], warnings: [...tsdb.warnings, ...prepared.warnings, ...unrecorded], components }
    }
    watch.stages.push({ name: 'fetch and check', durationMs: watch.totalMs() })
    const components = await watch.time('put in place', () => prepared.restore())
    const { at } = request
    const measured = {
      requestedAt: at.kind === 'latest' ? 'latest' : at.kind === 'time' ? new Date(at.ms).toISOString() : at.id,
      recoverableAt: isoOrNull(prepared.newestMs), stages: watch.stages, bytes: prepared.bytes,
    }
    const unrecorded = await record(components, measured)
    return {
      ...measured, dryRun: request.dryRun, target: null, stoppedBy: 'recovery-point', rpoSeconds: null, rtoSeconds: null,
      repaired: prepared.repaired, components, unreachable: prepared.unreachable, warnings: [...prepared.warnings, ...unrecorded],
    }
  })

  async function record(components: readonly RestoredComponentReport[], measured: RecordRestoredRequest['measured']): Promise<string[]> {
    return request.dryRun ? [] : recordRestored({ ...context, instance: request.instance ?? context.instance, components, measured })
  }
}

/** The TSDB's restore counts from the decision: what it takes for the start of the program is also what the components took until they lay ready. */
function stagesOf([start, ...others]: readonly Stage[], startedAfterMs: number): Stage[] {
  if (start === undefined) return []
  return [{ ...start, durationMs: startedAfterMs }, { name: 'prepare components', durationMs: start.durationMs - startedAfterMs }, ...others]
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
