import { Command } from 'commander'
import { parseFutureTime } from '../../domain/moment.ts'
import { PromDrError } from '../../errors.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { exitCodes } from '../exit-codes.ts'
import { collect, named } from '../option-values.ts'
import { recoveryPointArgument } from '../recovery-point-argument.ts'
import { renderHold } from '../render/hold.ts'

interface HoldOptions {
  until?: string
  reason?: string
  release: boolean
  instance?: string
  repository?: string[]
}

export function holdCommand(run: CommandRunner): Command {
  return new Command('hold')
    .summary('keep a recovery point from expiry')
    .description('Keep a recovery point from expiry until a time, in every repository that has it, whatever the retention says. A hold that is there already is replaced.')
    .argument('<id>', 'id of a recovery point, or "latest"', recoveryPointArgument)
    .option('--until <time>', 'when the hold ends: a time with its zone, or how long from now (90d)')
    .option('--reason <text>', 'why; shown wherever the recovery point is')
    .option('--release', 'let it go: the retention decides again', false)
    .option('-i, --instance <name>', 'whose recovery point it is (default: it is looked for; whose latest: as configured)')
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
    .addHelpText('after', examples(['hold latest --until 7d --reason "before the upgrade"', 'the newest of this host'], ['hold 20261121T023615Z-79535b5f --until 90d --reason "incident 4711"', 'for ninety days'], ['hold 20261121T023615Z-79535b5f --release', 'no longer']))
    .action((id: string, options: HoldOptions, command: Command) => {
      checkOptions(options)
      return run(command, async (context) => {
        const report = await context.operations.hold({
          id,
          ...(options.instance !== undefined && { instance: options.instance }),
          repositories: context.repositoryNames(options.repository),
          hold: readHold(options, context.now),
        })
        const failed = report.repositories.some(({ result }) => result === 'failed')
        context.summary(report, renderHold, { wanted: failed })
        return failed ? exitCodes.partly : exitCodes.done
      })
    })
}

/** @throws USAGE before anything is opened */
function checkOptions({ until, reason, release }: HoldOptions): void {
  if (release && (until !== undefined || reason !== undefined)) throw new PromDrError('USAGE', '--release stands beside --until or --reason', { hint: 'hold it, or let it go' })
  if (release || (until !== undefined && reason !== undefined && reason.trim() !== '')) return
  throw new PromDrError('USAGE', `a hold needs ${until === undefined ? '--until' : '--reason'}`, { hint: 'for example: --until 90d --reason "incident 4711"' })
}

function readHold({ until, reason }: HoldOptions, now: Date): { until: Date; reason: string } | undefined {
  if (until === undefined || reason === undefined) return undefined
  return { until: new Date(named('--until', (text: string) => parseFutureTime(text, now))(until)), reason: reason.trim().slice(0, 500) }
}
