import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const width = 1000
const height = 360
const edge = 60

/** Writes a plot of some curves over time to `.cache/plots/<name>.svg`, for people. @returns its path */
export async function writeLinePlot(name: string, plot: { title: string; unit: string; curves: { name: string; points: readonly { atMs: number; value: number }[] }[] }): Promise<string> {
  const all = plot.curves.flatMap((curve) => curve.points)
  const fromMs = Math.min(...all.map((point) => point.atMs))
  const toMs = Math.max(...all.map((point) => point.atMs), fromMs + 1)
  const most = Math.max(...all.map((point) => point.value), 1)
  const x = (atMs: number) => (edge + ((atMs - fromMs) / (toMs - fromMs)) * (width - 2 * edge)).toFixed(1)
  const y = (value: number) => (height - edge - (value / most) * (height - 2 * edge)).toFixed(1)
  const curves = plot.curves.map((curve, nth) => {
    const colour = `hsl(${Math.round((360 * nth) / plot.curves.length)} 70% 40%)`
    const line = curve.points.map((point) => `${x(point.atMs)},${y(point.value)}`).join(' ')
    return `<polyline fill="none" stroke="${colour}" points="${line}"/><text x="${width - edge + 4}" y="${y(curve.points.at(-1)?.value ?? 0)}" fill="${colour}">${curve.name}</text>`
  })
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10)
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${width + 120}" height="${height}" font-family="sans-serif" font-size="12">
<text x="${edge}" y="24" font-size="16">${plot.title}</text>
<path d="M${edge} ${edge}V${height - edge}H${width - edge}" fill="none" stroke="#888"/>
<text x="${edge}" y="${height - edge + 18}">${day(fromMs)}</text><text x="${width - edge - 70}" y="${height - edge + 18}">${day(toMs)}</text>
<text x="4" y="${edge}">${most.toPrecision(3)} ${plot.unit}</text>
${curves.join('\n')}
</svg>
`
  const path = fileURLToPath(new URL(`../../.cache/plots/${name}.svg`, import.meta.url))
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
  return path
}
