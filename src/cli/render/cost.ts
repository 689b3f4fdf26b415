import type { CostLine } from '../../domain/storage-cost.ts'
import type { CostReport, RepositoryCost } from '../../operations/report/cost-report.ts'
import type { Style } from '../output.ts'
import { paragraphs, table, warnings } from './layout.ts'
import { formatByteSize, formatCount } from './units.ts'

export function renderCost(report: CostReport, style: Style): string {
  const { currency, unpriced } = report
  const noPrice = unpriced.map((name) => `objects of class ${name} have no price: set prices.perGibMonth.${name}`)
  return paragraphs(...report.repositories.map((repository) => renderRepository(repository, currency, style)), warnings(noPrice, style))
}

function renderRepository(repository: RepositoryCost, currency: string, style: Style): string {
  const title = `${style.bold(`repository ${repository.name}`)}: ${formatByteSize(repository.bytes)} in ${formatCount(repository.objects)} objects, ${money(repository.monthly, currency)} a month for storage`
  const groups = [['tier', repository.tiers], ['component', repository.components], ['instance', repository.instances], ['class', repository.storageClasses]] as const
  const rows = groups.flatMap(([what, lines]) => lines.map((line: CostLine) => [what, line.name, formatByteSize(line.bytes), formatCount(line.objects), money(line.monthly, currency)]))
  return [title, table([{ title: 'BY' }, { title: '' }, { title: 'BYTES', right: true }, { title: 'OBJECTS', right: true }, { title: 'A MONTH', right: true }], rows, style)].join('\n')
}

function money(amount: number | null, currency: string): string {
  return amount === null ? 'unknown' : `${amount.toFixed(2)} ${currency}`
}
