import { execFile } from 'node:child_process'
import { lstat, mkdir, readFile, readdir, rename, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Metric, openMetricsFile } from '../../../src/integrations/node-exporter/metrics-file.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { needPrograms, promtoolBinary } from '../../support/prometheus.ts'

function metricOf(value: number, labels: Record<string, string> = {}): Metric {
  return { name: 'taken_total', help: 'What was taken.', type: 'counter', labels: Object.keys(labels), samples: [{ labels, value }] }
}

async function scene() {
  const directory = await temporaryDirectory('metrics')
  const path = join(directory, 'ship.prom')
  return { directory, path, file: await openMetricsFile(path) }
}

/** What promtool says against the text; empty when nothing. */
function complaintsOf(text: string): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(promtoolBinary(), ['check', 'metrics'], (error, stdout, stderr) => resolve(`${error?.code ?? ''}${stdout}${stderr}`))
    child.stdin?.end(text)
  })
}

describe('a metrics file', () => {
  it('is replaced whole, may be read by everyone, and leaves nothing beside it', async () => {
    const { directory, path, file } = await scene()
    const before = process.umask(0o077)
    try {
      await file.write([metricOf(1)])
      await file.write([metricOf(2), { name: 'level', help: 'How high.', type: 'gauge', labels: [], samples: [{ labels: {}, value: -0.5 }] }])
    } finally {
      process.umask(before)
    }
    expect(await readFile(path, 'utf8')).toBe('# HELP taken_total What was taken.\n# TYPE taken_total counter\ntaken_total 2\n\n# HELP level How high.\n# TYPE level gauge\nlevel -0.5\n')
    expect((await stat(path)).mode & 0o777).toBe(0o644)
    expect(await readdir(directory)).toEqual(['ship.prom'])
  })

  it('takes the place of what a run that was killed left, under a name that is not collected', async () => {
    const { directory, path, file } = await scene()
    await writeFile(`${path}.tmp`, 'taken_total 1\ntaken_')
    await file.write([metricOf(3)])
    expect(await readFile(path, 'utf8')).toMatch(/^taken_total 3$/m)
    expect(await readdir(directory)).toEqual(['ship.prom'])
  })

  it('is never written through a link that somebody laid in its way', async () => {
    const { directory, path, file } = await scene()
    const other = join(directory, 'other')
    await writeFile(other, 'precious')
    await symlink(other, `${path}.tmp`)
    await file.write([metricOf(4)])
    expect(await readFile(other, 'utf8')).toBe('precious')
    expect((await lstat(path)).isFile()).toBe(true)
  })

  it('stays as it was where it cannot be written, and is written again when that is over', async () => {
    const { directory, path, file } = await scene()
    await file.write([metricOf(5)])
    await rename(directory, `${directory}-away`)
    await expect(file.write([metricOf(6)])).rejects.toMatchObject({ code: 'FILE_SYSTEM', message: expect.stringContaining(path) })
    await rename(`${directory}-away`, directory)
    expect(await readFile(path, 'utf8')).toMatch(/^taken_total 5$/m)
    await mkdir(`${path}.tmp`)
    await expect(file.write([metricOf(7)])).rejects.toMatchObject({ code: 'FILE_SYSTEM' })
    expect(await readFile(path, 'utf8')).toMatch(/^taken_total 5$/m)
  })

  it.each(['gone/ship.prom', 'file/ship.prom', 'file/deeper/ship.prom'])('is refused where there is no directory for it: %s', async (name) => {
    const directory = await temporaryDirectory('metrics')
    await writeFile(join(directory, 'file'), '')
    await expect(openMetricsFile(join(directory, name))).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(join(directory, name)), hint: expect.stringContaining('--collector.textfile.directory') })
  })

  it('gives labels of any content as they are, and counters that were not counted yet', async (context) => {
    needPrograms(context, 'promtool')
    const { path, file } = await scene()
    await file.write([metricOf(0, { where: 'a"} 1\nb{c="\\', what: '\u{1f600}' })])
    const text = await readFile(path, 'utf8')
    expect(text.split('\n')).toContain('taken_total{where="a\\"} 1\\nb{c=\\"\\\\",what="\u{1f600}"} 0')
    expect(await complaintsOf(text)).toBe('')
    expect(await complaintsOf(text.replace('\\"}', '"}'))).not.toBe('')
  })
})
