import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PromDrError, messageOf, systemCode } from '../../errors.ts'
import { ifThere } from '../../system/if-there.ts'
import { replaceFile } from '../../system/replace-file.ts'

/** A metric with all of its values at one moment. */
export interface Metric {
  name: string
  help: string
  type: 'counter' | 'gauge'
  /** Of every sample, in any order. */
  labels: readonly string[]
  samples: readonly { labels: Readonly<Record<string, string>>; value: number }[]
}

/** A file that node_exporter's textfile collector reads. */
export interface MetricsFile {
  readonly path: string
  /** Replaces the file: the collector sees the old one or the new one. @throws DISK_FULL, FILE_SYSTEM */
  write(metrics: readonly Metric[]): Promise<void>
}

/**
 * Makes sure that the file's directory is there. The collector reads what ends in `.prom`, as `path` has to, so that it never sees the temporary file.
 * @throws CONFIG_INVALID when there is no such directory
 */
export async function openMetricsFile(path: string): Promise<MetricsFile> {
  const directory = dirname(path)
  const found = await ifThere(stat(directory), ['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'])
  if (found?.isDirectory() !== true) {
    throw new PromDrError('CONFIG_INVALID', `ship.metricsFile is ${path}, and ${directory} is no directory that is there and can be reached`, {
      hint: 'it has to be the directory that node_exporter was told with --collector.textfile.directory; make it, or leave ship.metricsFile out',
    })
  }
  // Whoever wants no metrics has no memory to spare for it.
  const { Counter, Gauge, Registry } = await import('prom-client')
  const textOf = async (metrics: readonly Metric[]) => {
    const registry = new Registry()
    for (const { name, help, type, labels: labelNames, samples } of metrics) {
      const shape = { name, help, labelNames: [...labelNames], registers: [registry] }
      if (type === 'counter') {
        const counter = new Counter(shape)
        for (const { labels, value } of samples) counter.inc(labels, value)
      } else {
        const gauge = new Gauge(shape)
        for (const { labels, value } of samples) gauge.set(labels, value)
      }
    }
    return registry.metrics()
  }
  return {
    path,
    async write(metrics) {
      const text = await textOf(metrics)
      try {
        // The collector runs as another user.
        await replaceFile(path, text, { mode: 0o644 })
      } catch (error) {
        const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '')
        throw new PromDrError(full ? 'DISK_FULL' : 'FILE_SYSTEM', `cannot write ${path}: ${messageOf(error)}`, { cause: error })
      }
    },
  }
}
