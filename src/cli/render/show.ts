import type { ShowReport } from '../../operations/report/show-report.ts'
import type { Style } from '../output.ts'
import { renderShownArchives } from './archives.ts'
import { facts, paragraphs, table } from './layout.ts'
import { counted, formatByteSize, formatCount, formatElapsed, formatInstant } from './units.ts'

export function renderShow(report: ShowReport, style: Style): string {
  const { source, totals, knownAnswers: known, cost } = report
  const labels = Object.entries(source.externalLabels).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  const details = facts(
    [
      ['made', formatInstant(report.createdAt)],
      ['samples', `${formatInstant(report.minTime)} to ${formatInstant(report.maxTime)}`],
      ['tiers', `${report.tiers.join(', ') || 'none'}${report.hold === null ? '' : `; held${report.hold.until === null ? '' : ` until ${formatInstant(report.hold.until)}`}: ${report.hold.reason}`}`],
      ['head', report.head === 'stored' ? 'included' : report.head === 'none' ? 'no TSDB: components alone' : report.head === 'wal' ? 'in the shipped WAL: without it, samples newer than the blocks are missing' : 'not included: samples newer than the blocks are missing'],
      ['server', `Prometheus ${source.prometheusVersion} on ${source.hostname}, data in ${source.dataDir}, retention ${source.retention}`],
      ['external labels', labels.join(', ') || 'none'],
      ['content', `${counted(totals.blocks, 'block')}; ${formatCount(totals.series)} series (counted in each block); ${counted(totals.samples, 'sample')}; ${formatByteSize(totals.bytes)}`],
      ['known answers', `${known.series} series, ${counted(known.samples, 'sample')}, ${counted(known.queries.length, 'query', 'queries')}; ${known.dropped} dropped`],
      ['cost', `${formatByteSize(cost.uploadedBytes)} uploaded, ${formatByteSize(cost.reusedBytes)} were there already, ${formatElapsed(cost.durationMs)}`],
      ['repository', report.repository],
    ],
    style,
  )
  const columns = [
    { title: 'BLOCK' },
    { title: 'FROM' },
    { title: 'TO' },
    { title: 'LEVEL', right: true },
    { title: 'SERIES', right: true },
    { title: 'SAMPLES', right: true },
    { title: 'SIZE', right: true },
    { title: 'NOTES' },
  ]
  const rows = report.blocks.map((block) => {
    const notes = [block.head && 'head', block.outOfOrder && 'out of order', block.tombstones && 'deletions'].filter((note) => note !== false)
    return [block.ulid, formatInstant(block.minTime), formatInstant(block.maxTime), String(block.level), formatCount(block.series), formatCount(block.samples), formatByteSize(block.bytes), notes.join(', ')]
  })
  const damage = report.damagedAtSource.map(({ ulid, reason }) => style.red(`block ${ulid} was damaged on the server's own disk: ${reason}`))
  return paragraphs(`${style.bold(`recovery point ${report.id}`)} of ${report.instance}\n${details}`, rows.length > 0 && table(columns, rows, style), damage.length > 0 && damage.join('\n'), renderShownArchives(report.archives, style))
}
