import type { ReEncryptReport, ReEncryptedRepository } from '../../operations/re-encrypt/re-encrypt-report.ts'
import type { Style } from '../output.ts'
import { paragraphs, table } from './layout.ts'
import { formatByteSize } from './units.ts'

/** As many as can be read at a glance; `--json` has more. */
const mostShown = 20

export function renderReEncrypt(report: ReEncryptReport, style: Style): string {
  const readers = report.recipients.length === 0 ? 'the passphrase' : report.recipients.join(', ')
  const rows = report.repositories.map((repository) => [
    repository.name, String(repository.archives), String(repository.objects), String(repository.unchanged), formatByteSize(repository.bytes), resultOf(repository, style),
  ])
  const failed = report.repositories.flatMap(({ name, failed: lines }) => lines.map(({ key, reason }) => `${style.red('as it was')} ${name}: ${key}: ${reason}`))
  const more = failed.length > mostShown ? [`… and ${failed.length - mostShown} more`] : []
  return paragraphs(
    `Sealed for ${readers}`,
    table([{ title: 'REPOSITORY' }, { title: 'ARCHIVES', right: true }, { title: 'OBJECTS', right: true }, { title: 'UNCHANGED', right: true }, { title: 'STORED', right: true }, { title: 'RESULT' }], rows, style),
    [...failed.slice(0, mostShown), ...more].join('\n'),
  )
}

function resultOf({ ok, error, failed }: ReEncryptedRepository, style: Style) {
  if (error !== undefined) return { text: `failed: ${error.message}`, paint: style.red }
  return ok ? 'done' : { text: `${failed.length} could not be opened`, paint: style.red }
}
