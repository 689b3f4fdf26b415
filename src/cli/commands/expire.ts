import { Command } from 'commander'
import { type Retention, retentionOf } from '../../domain/retention.ts'
import { PromDrError } from '../../errors.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { exitCodeOf, exitCodes, worstOf } from '../exit-codes.ts'
import { collect, named } from '../option-values.ts'
import { renderExpire } from '../render/expire.ts'

interface ExpireOptions extends Partial<Retention> {
  apply: boolean
  instance?: string
  allInstances: boolean
  repository?: string[]
}

const keeps = [
  ['--keep-last <n>', 'the newest ones'],
  ['--keep-hourly <n>', 'one for each of the newest hours'],
  ['--keep-daily <n>', 'for each day'],
  ['--keep-weekly <n>', 'for each week'],
  ['--keep-monthly <n>', 'for each month'],
  ['--keep-yearly <n>', 'for each year'],
] as const

export function expireCommand(run: CommandRunner): Command {
  const command = new Command('expire')
    .summary('remove what the retention no longer keeps')
    .description('Tell which recovery points the retention keeps and which go, each with its reason; with --apply remove those, mark what nothing names any more, and remove what was marked two days ago. What backups, restores and other hosts still need stays.')
    .option('--apply', 'do it; without it nothing is changed', false)
    .option('-i, --instance <name>', 'whose recovery points (default: as configured)')
    .option('--all-instances', 'those of every instance in the repository', false)
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
  for (const [flags, description] of keeps) command.option(flags, `keep ${description}; one of these replaces the configured retention`, named(flags.slice(0, flags.indexOf(' ')), parseCount))
  return command
    .addHelpText('after', examples(['expire', 'what would go, and why; nothing is changed'], ['expire --apply', 'from cron, daily'], ['expire --keep-last 3 --keep-daily 30', 'what another retention would keep']))
    .action((options: ExpireOptions, self: Command) => {
      if (options.allInstances && options.instance !== undefined) throw new PromDrError('USAGE', '--all-instances stands beside --instance', { hint: 'give one of the two' })
      return run(self, async (context) => {
        const retention = givenRetention(options)
        const report = await context.operations.expire({
          ...(options.instance !== undefined && { instance: options.instance }),
          allInstances: options.allInstances,
          repositories: context.repositoryNames(options.repository),
          apply: options.apply,
          ...(retention !== undefined && { retention }),
        })
        const failures = report.repositories.flatMap(({ error }) => (error === undefined ? [] : [exitCodeOf(error.code)]))
        const code = worstOf(...failures.map((failure) => (failure === exitCodes.verificationFailed ? failure : exitCodes.partly)))
        context.summary(report, renderExpire, { wanted: code !== exitCodes.done || !options.apply })
        return code
      })
    })
}

function givenRetention({ keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly }: ExpireOptions): Retention | undefined {
  const all = { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly }
  const given = Object.fromEntries(Object.entries(all).filter(([, count]) => count !== undefined))
  return Object.keys(given).length === 0 ? undefined : retentionOf(given)
}

function parseCount(text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text)
  throw new PromDrError('USAGE', `${JSON.stringify(text)} is not a whole number`, { hint: 'for example 14; 0 keeps none' })
}
