import { writeFile } from 'node:fs/promises'
import bcrypt from 'bcryptjs'
import { describe, expect, it } from 'vitest'
import { createAlertmanagerApi } from '../../../src/integrations/alertmanager/http-alertmanager-api.ts'
import { inSeconds, startTestAlertmanager } from '../../support/alertmanager.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { rejectionOf } from '../../support/operations.ts'
import { missingPrograms } from '../../support/programs.ts'

const content = () => ({ matchers: [{ name: 'alertname', value: 'a.*', isRegex: true, isEqual: false }], startsAt: inSeconds(-60), endsAt: inSeconds(600), createdBy: 'me', comment: 'why' })

describe.skipIf(missingPrograms('prometheus-alertmanager'))('the API of a real Alertmanager', () => {
  it('tells its version, makes silences and lists them with their state, and reloads', async () => {
    const { api, configFile } = await startTestAlertmanager({ routePrefix: '/am' })
    expect(await api.status()).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+/), cluster: 'disabled', peers: 0 })
    const wanted = content()
    const id = await api.createSilence(wanted)
    const [silence] = await api.silences()
    expect(silence).toMatchObject({ id, matchers: wanted.matchers, endsAt: wanted.endsAt, createdBy: 'me', comment: 'why', state: 'active' })
    expect(Date.parse(silence?.startsAt ?? '')).toBeGreaterThan(Date.parse(wanted.startsAt))

    expect(await api.reload()).toEqual({ outcome: 'reloaded' })
    expect((await api.configReload()).successful).toBe(true)
    await writeFile(configFile, 'route: {receiver: nobody}\n')
    expect(await api.reload()).toMatchObject({ outcome: 'failed', reason: expect.stringMatching(/nobody/) })
    expect((await api.configReload()).successful).toBe(false)
  })

  it('says why it refuses a silence', async () => {
    const { api } = await startTestAlertmanager()
    expect(await rejectionOf(api.createSilence({ ...content(), endsAt: inSeconds(-30) }))).toMatchObject({ code: 'ALERTMANAGER_BAD_RESPONSE', message: expect.stringMatching(/HTTP 400.*silence/) })
  })

  it('wants its credentials, and no error shows them', async () => {
    const webConfig = { basic_auth_users: { dr: bcrypt.hashSync('hunter2', 4) } }
    const { api, url } = await startTestAlertmanager({ webConfig, access: { basicAuth: { username: 'dr', password: 'hunter2' } } })
    expect(await api.silences()).toEqual([])
    const error = await rejectionOf(createAlertmanagerApi({ url, basicAuth: { username: 'dr', password: 'hunter3' } }).silences())
    expect(error).toMatchObject({ code: 'ALERTMANAGER_BAD_RESPONSE', message: expect.stringMatching(/refuses the credentials/) })
    expect(String(error)).not.toContain('hunter3')
  })
})

describe('what is no Alertmanager', () => {
  it('is unreachable where nothing listens', async () => {
    expect(await rejectionOf(createAlertmanagerApi({ url: 'http://127.0.0.1:1' }).status())).toMatchObject({ code: 'ALERTMANAGER_UNREACHABLE', hint: expect.stringContaining('components.alertmanager.url') })
  })

  it.each([
    ['a page', '<html>', 200, /does not answer like an Alertmanager/],
    ['other JSON', '[{"id": 1}]', 200, /0\.id/],
    ['a time that is none', JSON.stringify([{ id: 'x', matchers: [], startsAt: 'soon', endsAt: inSeconds(1), updatedAt: inSeconds(1), createdBy: '', comment: '', status: { state: 'active' } }]), 200, /startsAt/],
    ['a failure', 'oops', 502, /HTTP 502/],
  ])('is told apart by %s', async (_what, body, status, message) => {
    const url = await startHttpServer((_request, response) => response.writeHead(status).end(body))
    expect(await rejectionOf(createAlertmanagerApi({ url }).silences())).toMatchObject({ code: 'ALERTMANAGER_BAD_RESPONSE', message: expect.stringMatching(message) })
  })
})
