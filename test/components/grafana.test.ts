import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type GrafanaSettings, createGrafanaComponent } from '../../src/components/grafana.ts'
import { placeholder } from '../../src/components/grafana-plan.ts'
import { createGrafanaApi } from '../../src/integrations/grafana/http-grafana-api.ts'
import { runProgram } from '../../src/system/process.ts'
import { FakeGrafana } from '../fakes/grafana.ts'
import { collecting, readTree, restoring } from '../support/component-directories.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const signal = new AbortController().signal

interface Place {
  directory: string
  into: string
  componentOf(grafana: { url: string; token: string }, settings?: Partial<GrafanaSettings>): Promise<ReturnType<typeof createGrafanaComponent>>
}

async function arrange(): Promise<Place> {
  const directory = await temporaryDirectory()
  const into = join(directory, 'collected')
  await mkdir(into)
  return {
    directory,
    into,
    async componentOf({ url, token }, settings = {}) {
      const tokenFile = join(directory, 'token')
      await writeFile(tokenFile, `${token}\n`)
      return createGrafanaComponent({ api: createGrafanaApi({ url, tokenFile }), folders: [], provisioning: [], asideDirectory: join(directory, 'aside'), now: () => new Date('2026-11-21T03:00:00Z'), ...settings })
    },
  }
}

/** A Grafana as a team would have it: nested folders, more dashboards than one page, secrets, and things that refer to each other. */
async function lived(): Promise<FakeGrafana> {
  const grafana = await FakeGrafana.start()
  const post = async (path: string, body: unknown, method = 'POST') => {
    const answer = await fetch(`${grafana.url}${path}`, { method, headers: { authorization: `Bearer ${grafana.token}`, 'content-type': 'application/json', 'x-disable-provenance': 'true' }, body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
  }
  await post('/api/folders', { uid: 'infra', title: 'Infrastructure' })
  await post('/api/folders', { uid: 'db', title: 'Databases', parentUid: 'infra' })
  await post('/api/folders', { uid: 'apps', title: 'Applications' })
  await post('/api/datasources', { uid: 'prom', name: 'Prometheus', type: 'prometheus', access: 'proxy', url: 'http://127.0.0.1:9090', isDefault: true, jsonData: {} })
  await post('/api/datasources', { uid: 'loki', name: 'Loki', type: 'loki', access: 'proxy', url: 'http://127.0.0.1:3100', jsonData: { httpHeaderName1: 'X-Scope' }, secureJsonData: { httpHeaderValue1: 'tenant-secret', basicAuthPassword: 'hunter2' } })
  for (let number = 1; number <= 5; number += 1) await post('/api/dashboards/db', { dashboard: { id: null, uid: `dash-${number}`, title: `Dashboard ${number}`, panels: [{ id: 1, title: 'CPU' }] }, folderUid: ['infra', 'db', 'apps', '', 'db'][number - 1], overwrite: false })
  await post('/api/v1/provisioning/templates/team', { template: '{{ define "team" }}x{{ end }}' }, 'PUT')
  await post('/api/v1/provisioning/mute-timings', { name: 'weekends', time_intervals: [{ weekdays: ['saturday', 'sunday'] }] })
  await post('/api/v1/provisioning/contact-points', { uid: 'slack-1', name: 'on-call', type: 'slack', settings: { url: 'https://hooks.example/secret', recipient: '#alerts' }, disableResolveMessage: false })
  await post('/api/v1/provisioning/policies', { receiver: 'grafana-default-email', group_by: ['alertname'], routes: [{ receiver: 'on-call', mute_time_intervals: ['weekends'] }] }, 'PUT')
  await post('/api/v1/provisioning/folder/infra/rule-groups/nodes', { title: 'nodes', folderUid: 'infra', interval: 30, rules: [{ uid: 'rule-1', title: 'NodeDown', condition: 'A', folderUID: 'infra', ruleGroup: 'nodes', data: [{ refId: 'A', datasourceUid: 'prom' }], for: '1m', noDataState: 'NoData', execErrState: 'Error' }] }, 'PUT')
  return grafana
}

describe('Grafana', () => {
  it('comes back whole in an empty one, in an order that it takes, and editable', async () => {
    const place = await arrange()
    const source = await lived()
    await (await place.componentOf(source)).collect(place.into, collecting())
    const target = await FakeGrafana.start()
    const component = await place.componentOf(target)
    const restored = await component.restore(place.into, restoring())
    expect(restored.warnings).toEqual([])
    expect(restored.toReenter).toEqual(['data source Loki: basicAuthPassword, httpHeaderValue1', 'contact point on-call: url (until then it sends nothing)'])
    expect([...target.folders.values()].map(({ uid, title, parentUid }) => [uid, title, parentUid]).sort()).toEqual([['apps', 'Applications', null], ['db', 'Databases', 'infra'], ['infra', 'Infrastructure', null]])
    expect([...target.dashboards.keys()].sort()).toEqual(['dash-1', 'dash-2', 'dash-3', 'dash-4', 'dash-5'])
    expect(target.dashboards.get('dash-2')).toMatchObject({ folderUid: 'db', dashboard: { panels: [{ id: 1, title: 'CPU' }] } })
    expect(target.policies).toMatchObject({ routes: [{ receiver: 'on-call', mute_time_intervals: ['weekends'] }] })
    expect(target.rules.get('rule-1')).toMatchObject({ title: 'NodeDown', folderUID: 'infra', for: '1m' })
    expect(target.intervals.get('infra/nodes')).toBe(30)
    for (const thing of [...target.rules.values(), ...target.contactPoints.values(), ...target.muteTimings.values(), ...target.templates.values(), target.policies]) expect(thing['provenance']).toBe('')
    expect(target.contactPoints.get('slack-1')).toMatchObject({ settings: { url: placeholder, recipient: '#alerts' } })
  })

  it('is left alone by a second restore, and unchanged content is collected as the same bytes', async () => {
    const place = await arrange()
    const source = await lived()
    const component = await place.componentOf(source)
    await component.collect(place.into, collecting())
    source.calls.length = 0
    expect(await component.restore(place.into, restoring())).toEqual({ actions: [], movedAside: [], toReenter: [], warnings: [] })
    expect(source.calls.filter((call) => !call.startsWith('GET'))).toEqual([])
    const again = join(place.directory, 'again')
    await mkdir(again)
    await component.collect(again, collecting())
    expect(await readTree(again)).toEqual(await readTree(place.into))
  })

  it('gets back what was changed since, keeps its secrets, and what was replaced is kept aside', async () => {
    const place = await arrange()
    const grafana = await lived()
    const component = await place.componentOf(grafana)
    await component.collect(place.into, collecting())
    grafana.dashboards.get('dash-1')!.dashboard = { uid: 'dash-1', title: 'Broken by somebody', panels: [], version: 9 }
    Object.assign(grafana.dataSources.get('loki')!, { url: 'http://wrong' })
    Object.assign(grafana.contactPoints.get('slack-1')!, { disableResolveMessage: true })
    const dry = await component.restore(place.into, restoring({ dryRun: true }))
    expect(dry.actions).toEqual(['would replace data source Loki', 'would replace contact point on-call', 'would replace dashboard Dashboard 1'])
    expect(grafana.dashboards.get('dash-1')!.dashboard['title']).toBe('Broken by somebody')
    const restored = await component.restore(place.into, restoring())
    expect(restored.toReenter).toEqual([])
    expect(grafana.dashboards.get('dash-1')!.dashboard).toMatchObject({ title: 'Dashboard 1', version: 10 })
    expect(grafana.dataSources.get('loki')).toMatchObject({ url: 'http://127.0.0.1:3100' })
    expect(grafana.dataSourceSecrets.get('loki')).toEqual({ httpHeaderValue1: 'tenant-secret', basicAuthPassword: 'hunter2' })
    expect(grafana.contactPoints.get('slack-1')).toMatchObject({ disableResolveMessage: false, settings: { url: 'https://hooks.example/secret' } })
    expect(await readFile(join(restored.movedAside[0]!.to, 'dashboards/infra/dash-1.json'), 'utf8')).toContain('Broken by somebody')
  })

  it('is restored folder by folder where that is asked for', async () => {
    const place = await arrange()
    await (await place.componentOf(await lived())).collect(place.into, collecting())
    const target = await FakeGrafana.start()
    const restored = await (await place.componentOf(target)).restore(place.into, restoring({ parts: ['Databases'] }))
    expect(restored.actions).toEqual(['created folder Infrastructure', 'created folder Databases', 'created dashboard Dashboard 2', 'created dashboard Dashboard 5'])
    expect(target.dataSources.size).toBe(0)
  })

  it('never gives secrets away: no archive holds one, and no placeholder stands for a redacted value', async () => {
    const place = await arrange()
    await (await place.componentOf(await lived())).collect(place.into, collecting())
    const text = Object.values(await readTree(place.into)).join('\n')
    expect(text).not.toMatch(/hunter2|tenant-secret|hooks\.example/)
    const target = await FakeGrafana.start()
    await (await place.componentOf(target)).restore(place.into, restoring())
    expect(JSON.stringify([...target.contactPoints.values()])).not.toContain('[REDACTED]')
  })

  it('leaves alone what is there under another uid or managed by files, says so, and restores the rest', async () => {
    const place = await arrange()
    await (await place.componentOf(await lived())).collect(place.into, collecting())
    const target = await FakeGrafana.start()
    target.folders.set('other-infra', { uid: 'other-infra', title: 'Infrastructure', parentUid: null })
    target.dataSources.set('other', { uid: 'other', name: 'Loki', type: 'loki', url: 'http://mine' })
    target.muteTimings.set('weekends', { name: 'weekends', time_intervals: [], provenance: 'file' })
    const component = await place.componentOf(target)
    await expect(component.restore(place.into, restoring())).rejects.toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/^1 of \d+ parts of Grafana .*mute timing weekends: .*409: cannot change provenance/) })
    expect(target.dashboards.get('dash-1')).toMatchObject({ folderUid: 'other-infra' })
    expect(target.rules.get('rule-1')).toMatchObject({ folderUID: 'other-infra' })
    expect(target.dataSources.get('other')).toMatchObject({ url: 'http://mine' })
    target.muteTimings.delete('weekends')
    expect((await component.restore(place.into, restoring())).warnings).toEqual(expect.arrayContaining([expect.stringContaining('data source Loki is there under the uid other'), expect.stringContaining('folder Infrastructure is there under the uid other-infra')]))
  })

  it.each([
    ['a wrong token', async (grafana: FakeGrafana) => ({ url: grafana.url, token: 'wrong' }), 'fail', /401: Invalid API key/],
    ['rights that are missing', async (grafana: FakeGrafana) => ((grafana.permissions = ['folders:read', 'dashboards:read', 'datasources:read', 'alert.provisioning:read']), grafana), 'warn', /lacks folders:create/],
    ['rights to read that are missing', async (grafana: FakeGrafana) => ((grafana.permissions = ['folders:read']), grafana), 'fail', /lacks dashboards:read/],
    ['rights that are not told', async (grafana: FakeGrafana) => ((grafana.permissions = undefined), grafana), 'warn', /does not tell/],
    ['nothing that is missing', async (grafana: FakeGrafana) => grafana, 'ok', /may read and restore everything/],
  ])('is looked at for doctor: %s', async (_, prepared, level, detail) => {
    const place = await arrange()
    const findings = await (await place.componentOf(await prepared(await FakeGrafana.start()))).discover({ signal })
    expect(findings.at(-1)).toMatchObject({ level, detail: expect.stringMatching(detail) })
  })

  it('that does not answer fails to be collected, with its address', async () => {
    const place = await arrange()
    await expect((await place.componentOf({ url: 'http://127.0.0.1:9', token: 'x' })).collect(place.into, collecting())).rejects.toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringContaining('127.0.0.1:9') })
  })

  it('with a file in the archive that is not its own is damage', async () => {
    const place = await arrange()
    await (await place.componentOf(await lived())).collect(place.into, collecting())
    await writeFile(join(place.into, 'api/folders/apps.json'), '{"uid": 3}')
    await expect((await place.componentOf(await FakeGrafana.start())).restore(place.into, restoring())).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('folders/apps.json') })
  })
})

describe('grafana.db and provisioning', () => {
  it('are copied while they are in use, and put back into a Grafana that is down', async ({ skip }) => {
    needPrograms({ skip }, 'sqlite3')
    const place = await arrange()
    const grafana = await lived()
    const database = join(place.directory, 'var/grafana.db')
    const provisioning = join(place.directory, 'provisioning')
    await mkdir(join(place.directory, 'var'))
    await mkdir(provisioning)
    await writeFile(join(provisioning, 'ds.yml'), 'apiVersion: 1\n')
    await runProgram('sqlite3', [database, "pragma journal_mode=wal; create table user(name); insert into user values('admin');"])
    const settings = { database, provisioning: [provisioning] }
    const left = await (await place.componentOf(grafana, settings)).collect(join(place.into), collecting())
    expect(left.leftOut).toEqual([{ path: database, reason: expect.stringContaining('not encrypted') }])
    const sealed = join(place.directory, 'sealed')
    await mkdir(sealed)
    await (await place.componentOf(grafana, settings)).collect(sealed, collecting({ secrets: true }))
    await rm(join(place.directory, 'var'), { recursive: true })
    await writeFile(join(provisioning, 'ds.yml'), 'changed')
    // A running one keeps its database.
    await (await place.componentOf(grafana, settings)).restore(sealed, restoring())
    await expect(readFile(database)).rejects.toThrow('ENOENT')
    expect(await readFile(join(provisioning, 'ds.yml'), 'utf8')).toBe('apiVersion: 1\n')
    await (await place.componentOf({ url: 'http://127.0.0.1:9', token: grafana.token }, settings)).restore(sealed, restoring())
    expect((await runProgram('sqlite3', [database, 'select name from user'])).stdout).toBe('admin\n')
  })
})
