import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { describe, expect, it } from 'vitest'
import { createAlertmanagerComponent } from '../../../src/components/alertmanager/alertmanager-component.ts'
import { archivedSilences } from '../../../src/components/alertmanager/archived-silences.ts'
import type { AlertmanagerComponentSettings } from '../../../src/components/alertmanager/settings.ts'
import type { SilenceContent } from '../../../src/integrations/alertmanager/alertmanager-api.ts'
import { createAlertmanagerApi } from '../../../src/integrations/alertmanager/http-alertmanager-api.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { type TestAlertmanager, amtoolBinary, inSeconds, routeToNowhere, startTestAlertmanager } from '../../support/alertmanager.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { emptyDirectory, readFiles, writeFiles } from '../../support/configuration-files.ts'
import { rejectionOf } from '../../support/operations.ts'
import { missingPrograms } from '../../support/programs.ts'
import { waitFor } from '../../support/wait-for.ts'

const { signal } = new AbortController()
const sealed = { secrets: true, signal }
const wanted = { force: false, dryRun: false, parts: [], signal }
const config = {
  global: { smtp_auth_password_file: 'secrets/smtp', smtp_smarthost: 'localhost:25', smtp_from: 'a@example.org' },
  templates: ['templates/*.tmpl'],
  ...routeToNowhere,
}
const files = { 'templates/a.tmpl': '{{ define "a" }}A{{ end }}', 'secrets/smtp': 'hunter2' }

function component({ api, configFile, dataDir }: Pick<TestAlertmanager, 'api' | 'configFile' | 'dataDir'>, settings: AlertmanagerComponentSettings = {}) {
  return createAlertmanagerComponent({ api, settings: { configFile, dataDir, amtool: amtoolBinary(), ...settings }, clock: systemClock })
}

async function collected(alertmanager: TestAlertmanager, settings: AlertmanagerComponentSettings = {}): Promise<string> {
  const into = await emptyDirectory(await temporaryDirectory('archive'))
  await component(alertmanager, settings).collect(into, sealed)
  return into
}

function silence(name: string, changes: Partial<SilenceContent> = {}): SilenceContent {
  return { matchers: [{ name: 'alertname', value: name, isRegex: false, isEqual: true }], startsAt: inSeconds(0), endsAt: inSeconds(3600), createdBy: 'me', comment: name, ...changes }
}

/** Silences by their comments, as id and state. */
async function silencesOf({ api }: Pick<TestAlertmanager, 'api'>): Promise<Record<string, string>> {
  return Object.fromEntries((await api.silences()).map(({ id, comment, state }) => [comment, `${state} ${id}`]))
}

/** As the user interface does it: under the same id. */
async function edit({ url, api }: TestAlertmanager, id: string, changes: Partial<SilenceContent>): Promise<void> {
  const [silence] = (await api.silences()).filter((one) => one.id === id)
  const response = await fetch(`${url}/api/v2/silences`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...silence, ...changes }) })
  expect(await response.json()).toEqual({ silenceID: id })
}

/** Alertmanager has written its state for the first time. */
async function stateWritten({ dataDir }: TestAlertmanager): Promise<void> {
  await waitFor(async () => Buffer.isBuffer(await readFile(join(dataDir, 'nflog'))), { what: 'the first state files' })
}

async function expire({ url }: TestAlertmanager, id: string): Promise<void> {
  expect((await fetch(`${url}/api/v2/silence/${id}`, { method: 'DELETE' })).status).toBe(200)
}

describe.skipIf(missingPrograms('prometheus-alertmanager', 'amtool'))('the alertmanager component', () => {
  it('collects configuration, templates, state files and silences, the same bytes as long as nothing changes', async () => {
    const directory = await temporaryDirectory('alertmanager')
    await writeFiles(directory, files)
    const alertmanager = await startTestAlertmanager({ directory, config })
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await alertmanager.api.createSilence(silence(name))
    const into = await collected(alertmanager)
    await stateWritten(alertmanager)
    await waitFor(async () => (await archivedSilences(await collected(alertmanager))).length === 6 && (await readFile(join(alertmanager.dataDir, 'silences'))).byteLength > 6 * 100)
    const first = await readFiles(await collected(alertmanager))
    expect(Object.keys(await readFiles(into))).toContain('silences.json')
    expect(Object.keys(first)).toEqual(['alertmanager.yml', 'data/nflog', 'data/silences', 'layout.json', 'secrets/smtp', 'silences.json', 'templates/a.tmpl'])
    // Alertmanager writes its records in a random order, again and again.
    const asWritten = await readFile(join(alertmanager.dataDir, 'silences'))
    await waitFor(async () => !(await readFile(join(alertmanager.dataDir, 'silences'))).equals(asWritten))
    expect(await readFiles(await collected(alertmanager))).toEqual(first)

    const plain = await emptyDirectory(await temporaryDirectory('archive'))
    const { leftOut } = await component(alertmanager).collect(plain, { ...sealed, secrets: false })
    expect(leftOut.map(({ path }) => path)).toEqual([join(directory, 'secrets/smtp')])
    expect(Object.values(await readFiles(plain)).join()).not.toContain('hunter2')
    expect((await component(alertmanager).check(plain, { signal })).map(({ name, level }) => `${name}: ${level}`)).toEqual(['configuration: ok', 'state: ok'])
  })

  it('brings silences back into a wiped, stopped server with their ids, those too that no state file had yet', async () => {
    const source = await startTestAlertmanager({ config, maintenanceInterval: '1h' })
    await writeFiles(source.directory, files)
    await source.api.createSilence(silence('written'))
    const pending = await source.api.createSilence(silence('pending', { startsAt: inSeconds(1800) }))
    await source.stop()
    const again = await startTestAlertmanager({ directory: source.directory, maintenanceInterval: '1h' })
    await again.api.createSilence(silence('unwritten', { matchers: [{ name: 'a', value: 'x|y', isRegex: true, isEqual: false }, { name: 'b', value: 'é', isRegex: false, isEqual: false }] }))
    await edit(again, pending, { startsAt: inSeconds(2400) })
    const before = await again.api.silences()
    const into = await collected(again)
    await again.kill()
    for (const path of ['alertmanager.yml', 'templates', 'secrets', 'data']) await rm(join(source.directory, path), { recursive: true })

    const restored = await component(again).restore(into, wanted)
    expect(restored.actions).toContain(`wrote ${join(again.dataDir, 'silences')}`)
    expect(await readFile(join(source.directory, 'templates/a.tmpl'), 'utf8')).toBe(files['templates/a.tmpl'])
    expect(await component(again).restore(into, wanted)).toMatchObject({ actions: [], movedAside: [] })
    const target = await startTestAlertmanager({ directory: source.directory })
    expect(await target.api.silences()).toEqual(before)
  })

  it('makes active and coming silences in a running server, not past ones, and none twice', async () => {
    const source = await startTestAlertmanager({ config: routeToNowhere })
    await source.api.createSilence(silence('active'))
    await source.api.createSilence(silence('coming', { startsAt: inSeconds(1800) }))
    await expire(source, await source.api.createSilence(silence('expired')))
    await stateWritten(source)
    const into = await collected(source)
    await source.kill()

    const target = await startTestAlertmanager({ config: routeToNowhere })
    const planned = await component(target).restore(into, { ...wanted, dryRun: true })
    expect(planned.actions.join('\n')).toMatch(/would silence .*active/)
    expect(await target.api.silences()).toEqual([])
    const { actions, warnings } = await component(target).restore(into, wanted)
    expect(actions.filter((action) => action.startsWith('silenced'))).toHaveLength(2)
    expect(warnings.join()).toMatch(/notification log was not restored, since Alertmanager runs/)
    const after = await silencesOf(target)
    expect(after).toEqual({ active: expect.stringMatching(/^active/), coming: expect.stringMatching(/^pending/) })
    expect((await component(target).restore(into, wanted)).actions).toEqual([])
    expect(await silencesOf(target)).toEqual(after)
  })

  it('restores into the server it came from only what is gone, and leaves what was edited since', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    const kept = await alertmanager.api.createSilence(silence('kept'))
    const edited = await alertmanager.api.createSilence(silence('before'))
    const gone = await alertmanager.api.createSilence(silence('gone'))
    const into = await collected(alertmanager)
    await expire(alertmanager, gone)
    await edit(alertmanager, edited, { comment: 'after', endsAt: inSeconds(7200) })
    const { warnings } = await component(alertmanager).restore(into, wanted)
    expect(warnings.join('\n')).toContain(`the silence ${edited} was changed since`)
    const alive = (await alertmanager.api.silences()).filter(({ state }) => state === 'active')
    expect(alive.map(({ comment }) => comment).sort()).toEqual(['after', 'gone', 'kept'])
    expect(alive.find(({ comment }) => comment === 'kept')?.id).toBe(kept)
  })

  it('reloads a running server and reads back that it took the configuration; what amtool refuses is not installed', async () => {
    const alertmanager = await startTestAlertmanager({ config: { ...config, global: {} } })
    await writeFiles(alertmanager.directory, files)
    const into = await collected(alertmanager)
    await writeFiles(alertmanager.directory, { 'templates/later.tmpl': '{{ define "later" }}{{ end }}', 'alertmanager.yml': stringify(routeToNowhere) })
    const { actions, movedAside } = await component(alertmanager).restore(into, wanted)
    expect(actions.at(-1)).toMatch(/read its configuration: it accepted it/)
    expect(movedAside.map(({ from }) => from)).toEqual([alertmanager.configFile, join(alertmanager.directory, 'templates/later.tmpl')])

    await writeFile(join(into, 'templates/a.tmpl'), '{{ define "a" }}')
    const before = await readFiles(alertmanager.directory, { aside: true })
    expect(await rejectionOf(component(alertmanager).restore(into, wanted))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringMatching(/templates\/a\.tmpl|unexpected EOF/) })
    const { 'alertmanager.log': _log, 'data/silences': _s, 'data/nflog': _n, ...unchanged } = await readFiles(alertmanager.directory, { aside: true })
    expect(before).toMatchObject(unchanged)
    expect(await rejectionOf(component(alertmanager).restore(into, { ...wanted, force: true }))).toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/Alertmanager refuses them/) })
  })

  it('reloads by the command of the settings, and says what became of the files when that fails', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    const into = await collected(alertmanager)
    const reload = (...argv: string[]) => component(alertmanager, { reload: argv }).restore(into, wanted)
    await writeFile(alertmanager.configFile, '# changed\n')
    const { actions } = await reload('kill', '-HUP', String(alertmanager.program.pid))
    expect(actions.at(-1)).toMatch(/it accepted it/)
    await writeFile(alertmanager.configFile, '# changed\n')
    expect(await rejectionOf(reload('false'))).toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/files are in place, but false ended with 1/) })
    expect(await readFile(alertmanager.configFile, 'utf8')).toBe(stringify(routeToNowhere))
  })

  it('never installs a state file that would stop Alertmanager from starting', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    await alertmanager.api.createSilence(silence('a'))
    await alertmanager.stop()
    const into = await collected(alertmanager)
    const path = join(into, 'data/silences')
    await writeFile(path, (await readFile(path)).subarray(0, -3))
    expect((await component(alertmanager).check(into, { signal })).find(({ name }) => name === 'state')).toMatchObject({ level: 'fail', detail: expect.stringMatching(/ends within a record/) })
    for (const force of [false, true]) expect(await rejectionOf(component(alertmanager).restore(into, { ...wanted, force }))).toMatchObject({ code: 'COMPONENT_REFUSED' })
  })

  it('archives what is whole of a state file that is broken, and says so', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    await alertmanager.api.createSilence(silence('a'))
    await alertmanager.api.createSilence(silence('b'))
    await alertmanager.stop()
    const path = join(alertmanager.dataDir, 'silences')
    await writeFile(path, (await readFile(path)).subarray(0, -3))
    const into = await emptyDirectory(await temporaryDirectory('archive'))
    const { warnings } = await component(alertmanager).collect(into, sealed)
    expect(warnings.join('\n')).toMatch(/silences is broken: it ends within a record.*1 records before/)
    expect(warnings.join('\n')).toMatch(/silences made since the state file was written are not archived/)
    expect(await archivedSilences(into)).toHaveLength(1)
    expect(await component(alertmanager).discover({ signal })).toContainEqual(expect.objectContaining({ name: 'silences', level: 'fail' }))
  })

  it('puts no state under a process that keeps its own there but answers elsewhere', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    await alertmanager.api.createSilence(silence('a'))
    const into = await collected(alertmanager)
    const wrong = component({ ...alertmanager, api: createAlertmanagerApi({ url: 'http://127.0.0.1:1' }) })
    await rm(alertmanager.configFile)
    expect(await rejectionOf(wrong.restore(into, wanted))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining(`pid ${alertmanager.program.pid}`) })
    expect(Object.keys(await readFiles(alertmanager.directory))).not.toContain('alertmanager.yml')
  })

  it('says what it leaves out where settings are missing, and fails where there is nothing at all', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    await alertmanager.api.createSilence(silence('a'))
    const bare = createAlertmanagerComponent({ api: alertmanager.api, settings: { amtool: amtoolBinary() }, clock: systemClock })
    const into = await emptyDirectory(await temporaryDirectory('archive'))
    const { leftOut } = await bare.collect(into, sealed)
    expect(leftOut.map(({ path, reason }) => `${path}: ${reason}`)).toEqual([expect.stringMatching(/^alertmanager\.yml: .*configFile/), expect.stringMatching(/^data\/nflog: .*dataDir/)])
    expect(Object.keys(await readFiles(into))).toEqual(['silences.json'])
    expect((await bare.check(into, { signal })).map(({ level }) => level)).toEqual(['warn', 'ok'])

    const target = await startTestAlertmanager()
    await createAlertmanagerComponent({ api: target.api, settings: { amtool: amtoolBinary() }, clock: systemClock }).restore(into, wanted)
    expect(await silencesOf(target)).toEqual({ a: expect.stringMatching(/^active/) })
    await alertmanager.kill()
    expect(await rejectionOf(bare.collect(await emptyDirectory(await temporaryDirectory('archive')), sealed))).toMatchObject({ code: 'COMPONENT_FAILED', hint: expect.stringContaining('dataDir') })
    expect((await bare.restore(into, wanted)).warnings.join()).toMatch(/dataDir is not set/)
  })

  it('writes nowhere but into its own places, whatever the archive holds', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    await stateWritten(alertmanager)
    const into = await collected(alertmanager)
    const victim = join(await temporaryDirectory('victim'), 'x')
    const layout = JSON.parse(await readFile(join(into, 'layout.json'), 'utf8')) as { files: Record<string, object> }
    layout.files[`absolute${victim}`] = { path: victim, role: 'templates', owner: 'root:root' }
    await writeFiles(into, { [`absolute${victim}`]: 'evil', 'layout.json': JSON.stringify(layout) })
    expect(await rejectionOf(component(alertmanager).restore(into, wanted))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining(victim) })
    await mkdir(join(into, 'data/more'))
    await writeFile(join(into, 'data/more/x'), '')
    expect(await rejectionOf(component(alertmanager).restore(into, wanted))).toMatchObject({ code: 'DAMAGED' })
  })

  it('tells doctor what is in reach', async () => {
    const alertmanager = await startTestAlertmanager({ config: routeToNowhere })
    const levels = async (settings?: AlertmanagerComponentSettings) => (await component(alertmanager, settings).discover({ signal })).map(({ name, level }) => `${name}: ${level}`)
    await waitFor(async () => (await readFile(join(alertmanager.dataDir, 'nflog'))).byteLength === 0)
    expect(await levels()).toEqual(['running server: ok', 'configuration: ok', 'silences: ok', 'nflog: ok', 'amtool: ok'])
    await writeFile(alertmanager.configFile, 'route: {receiver: nobody}\n')
    expect(await alertmanager.api.reload()).toMatchObject({ outcome: 'failed' })
    expect(await levels()).toContain('loaded configuration: warn')
    await rename(alertmanager.configFile, `${alertmanager.configFile}.away`)
    await alertmanager.kill()
    expect(await levels({ amtool: '/nowhere/amtool' })).toEqual(['running server: fail', 'configuration: fail', 'silences: ok', 'nflog: ok', 'amtool: warn'])
  })
})
