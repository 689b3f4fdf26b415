import { chmod, copyFile, mkdir, readFile, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { describe, expect, it } from 'vitest'
import { createPrometheusComponent } from '../../../src/components/prometheus/prometheus-component.ts'
import type { PrometheusComponentSettings } from '../../../src/components/prometheus/local-server.ts'
import { isAtLeast } from '../../../src/domain/prometheus-version.ts'
import { type PrometheusServer, startPrometheus } from '../../../src/integrations/prometheus/prometheus-server.ts'
import { binaryVersion } from '../../../src/integrations/prometheus/prometheus-version.ts'
import { createPrometheusApi } from '../../../src/integrations/prometheus/http-prometheus-api.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { makeCertificates } from '../../support/certificates.ts'
import { atEndOfFile, temporaryDirectory } from '../../support/cleanup.ts'
import { emptyDirectory, readFiles, ruleFile, writeFiles } from '../../support/configuration-files.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { rejectionOf } from '../../support/operations.ts'
import { missingPrograms, needPrograms, prometheusBinary, promtoolBinary, waitFor } from '../../support/prometheus.ts'

const { signal } = new AbortController()
const plain = { secrets: false, signal }
const sealed = { ...plain, secrets: true }
const wanted = { force: false, dryRun: false, parts: [], signal }

interface Stack {
  root: string
  etc: string
  configFile: string
  server: PrometheusServer
  component: ReturnType<typeof createPrometheusComponent>
}

interface StackOptions {
  lifecycle?: boolean
  settings?: PrometheusComponentSettings
  config?: Record<string, unknown>
}

/** A server whose configuration names files in its directory and in another one, below a root of its own. */
async function startStack(options: StackOptions = {}): Promise<Stack> {
  const root = await temporaryDirectory('configured')
  const etc = join(root, 'etc/prometheus')
  const configFile = join(etc, 'prometheus.yml')
  await mkdir(join(root, 'data'))
  await writeFiles(root, {
    'etc/prometheus/prometheus.yml': `# kept as it is\n${stringify({
      rule_files: ['rules/*.yml', join(root, 'srv/rules/site.yml')],
      scrape_configs: [{
        job_name: 'a',
        scrape_interval: '1h',
        authorization: { credentials_file: 'secrets/token' },
        tls_config: { ca_file: join(root, 'srv/ca.crt') },
        file_sd_configs: [{ files: ['targets/*.json'] }],
      }],
      ...options.config,
    })}`,
    'etc/prometheus/rules/a.yml': ruleFile('a'),
    'etc/prometheus/rules/b.yml': ruleFile('b'),
    'etc/prometheus/targets/one.json': '[{"targets": ["127.0.0.1:1"]}]',
    'etc/prometheus/secrets/token': 'hunter2',
    'srv/rules/site.yml': ruleFile('site'),
    'srv/ca.crt': 'not read before a scrape',
    'etc/prometheus/web.yml': 'http_server_config: {http2: true}\n',
  })
  await chmod(join(etc, 'secrets/token'), 0o600)
  const server = await startPrometheus({
    binary: prometheusBinary(),
    dataDir: join(root, 'data'),
    config: { file: configFile },
    flags: [`--web.config.file=${join(etc, 'web.yml')}`, ...(options.lifecycle === false ? [] : ['--web.enable-lifecycle'])],
    logFile: join(root, 'log'),
    readyTimeoutMs: 40_000,
  })
  atEndOfFile(() => server.kill())
  const component = createPrometheusComponent({ api: server.api, settings: { promtool: promtoolBinary(), ...options.settings }, clock: systemClock })
  return { root, etc, configFile, server, component }
}

async function collected(stack: Stack, options = sealed): Promise<string> {
  const into = await emptyDirectory(stack.root)
  await stack.component.collect(into, options)
  return into
}

/** What lies in the configuration's directory and the other one. */
async function installed({ root, etc }: Stack, options: { aside?: boolean } = {}): Promise<Record<string, string>> {
  return { ...(await readFiles(etc, options)), ...(await readFiles(join(root, 'srv'), options)) }
}

async function rulesOf(server: PrometheusServer): Promise<string[]> {
  const answer = (await (await fetch(`${server.url}/api/v1/rules`)).json()) as { data: { groups: { name: string }[] } }
  return answer.data.groups.map(({ name }) => name).sort()
}

describe.skipIf(missingPrograms('prometheus', 'promtool'))('the prometheus component', () => {
  it('collects what the configuration names, found through the flags, in its own relative structure', async () => {
    const stack = await startStack()
    const into = await emptyDirectory(stack.root)
    const { leftOut, warnings } = await stack.component.collect(into, sealed)
    expect({ leftOut, warnings }).toEqual({ leftOut: [], warnings: [] })
    const files = await readFiles(into)
    const outside = `absolute${stack.root}/srv`
    expect(Object.keys(files)).toEqual([
      `${outside}/ca.crt`, `${outside}/rules/site.yml`, 'flags.json', 'layout.json', 'prometheus.yml', 'rules/a.yml', 'rules/b.yml', 'secrets/token', 'targets/one.json', 'web.yml',
    ].sort())
    expect(files['prometheus.yml']).toBe(await readFile(stack.configFile, 'utf8'))
    expect((await stat(join(into, 'secrets/token'))).mode & 0o777).toBe(0o600)
    const flags = JSON.parse(files['flags.json'] ?? '') as { flags: Record<string, string> }
    expect(flags.flags['config.file']).toBe(stack.configFile)
  })

  it('collects the same bytes again while nothing has changed', async () => {
    const stack = await startStack()
    expect(await readFiles(await collected(stack))).toEqual(await readFiles(await collected(stack)))
  })

  it('leaves credentials out of archives that are not encrypted, names them, and warns of secrets in the configuration', async () => {
    const stack = await startStack({ config: { remote_write: [{ url: 'http://127.0.0.1:1/', basic_auth: { username: 'u', password: 'hunter3' } }] } })
    const into = await emptyDirectory(stack.root)
    const { leftOut, warnings } = await stack.component.collect(into, plain)
    expect(leftOut.map(({ path }) => path).sort()).toEqual([join(stack.etc, 'secrets/token'), join(stack.root, 'srv/ca.crt')])
    expect(warnings).toEqual([expect.stringMatching(/prometheus\.yml holds secrets.*remote_write\.0\.basic_auth\.password in line \d+.*encryption\.recipients/)])
    expect(JSON.stringify({ leftOut, warnings })).not.toContain('hunter')
    expect(Object.values(await readFiles(into)).join()).not.toContain('hunter2')
    expect(await stack.component.check(into, { signal })).not.toContainEqual(expect.objectContaining({ level: 'fail' }))
    await rm(join(stack.etc, 'secrets/token'))
    expect((await stack.component.restore(into, wanted)).toReenter).toEqual([join(stack.etc, 'secrets/token')])
  })

  it('checks what was collected, wherever it lies, and finds what is broken in it', async () => {
    const stack = await startStack()
    const into = await collected(stack)
    await rm(stack.etc, { recursive: true })
    await rm(join(stack.root, 'srv'), { recursive: true })
    const findings = await stack.component.check(into, { signal })
    expect(findings.map(({ name, level }) => `${name}: ${level}`)).toEqual(['configuration: ok', 'web configuration: ok'])
    await writeFile(join(into, 'rules/b.yml'), 'groups: [{name: b, rules: [{record: x, expr: "sum("}]}]')
    const [broken] = await stack.component.check(into, { signal })
    expect(broken).toMatchObject({ name: 'configuration', level: 'fail' })
    expect(broken?.detail).toMatch(/rules\/b\.yml.*parse error/s)
    expect(broken?.detail).not.toMatch(/\/tmp|prom-dr-check/)
  })

  it('brings a deleted configuration back into the running server, whose memory still names the places', async () => {
    const stack = await startStack()
    const before = await installed(stack)
    const into = await collected(stack)
    // Without its web configuration a server answers nothing but errors.
    for (const path of ['prometheus.yml', 'rules', 'targets', 'secrets', '../../srv/rules', '../../srv/ca.crt']) await rm(join(stack.etc, path), { recursive: true })
    const restored = await stack.component.restore(into, wanted)
    expect(restored.movedAside).toEqual([])
    expect(restored.actions.at(-1)).toMatch(/read its configuration: it accepted it/)
    expect(await installed(stack)).toEqual(before)
    expect((await stat(join(stack.etc, 'secrets/token'))).mode & 0o777).toBe(0o600)
    expect(await rulesOf(stack.server)).toEqual(['a', 'b', 'site'])
  })

  it('moves aside what it replaces and rules that the archive does not have, and does nothing the second time', async () => {
    const stack = await startStack()
    const into = await collected(stack)
    await writeFiles(stack.etc, { 'rules/a.yml': ruleFile('changed'), 'rules/later.yml': ruleFile('later'), 'targets/later.json': '[]' })
    const planned = await stack.component.restore(into, { ...wanted, dryRun: true })
    expect(planned.actions).toEqual([`would replace ${join(stack.etc, 'rules/a.yml')}`, expect.stringMatching(/would move aside .*rules\/later\.yml/)])
    expect(await readdir(stack.etc)).not.toContainEqual(expect.stringContaining('prom-dr'))

    const restored = await stack.component.restore(into, wanted)
    expect(restored.movedAside.map(({ from }) => from)).toEqual([join(stack.etc, 'rules/a.yml'), join(stack.etc, 'rules/later.yml')])
    for (const { to } of restored.movedAside) expect(await readFile(to, 'utf8')).toMatch(/changed|later/)
    expect(await rulesOf(stack.server)).toEqual(['a', 'b', 'site'])
    expect(await readFile(join(stack.etc, 'targets/later.json'), 'utf8')).toBe('[]')

    expect(await stack.component.restore(into, wanted)).toMatchObject({ actions: [], movedAside: [] })
  })

  it('refuses to install what promtool refuses, and says what the server thinks of it when forced', async () => {
    const stack = await startStack()
    const [into, rules] = [await collected(stack), await collected(stack)]
    await writeFile(join(into, 'prometheus.yml'), 'scrape_configs: [{job_name: a, no_such_field: 1}]\n')
    const before = await installed(stack, { aside: true })
    expect(await rejectionOf(stack.component.restore(into, wanted))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringMatching(/no_such_field/) })
    expect(await installed(stack, { aside: true })).toEqual(before)
    expect(await rejectionOf(stack.component.restore(into, { ...wanted, force: true }))).toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/refuses them.*no_such_field/s) })
    expect(await readFile(stack.configFile, 'utf8')).toContain('no_such_field')

    // Of rules the server itself says only that there were errors.
    await writeFile(join(rules, 'rules/a.yml'), 'groups: [{name: a, rules: [{record: x, expr: "sum("}]}]')
    expect(await rejectionOf(stack.component.restore(rules, { ...wanted, force: true }))).toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/refuses them.*rules\/a\.yml.*parse error/s) })
  })

  it('writes nowhere but where this machine\'s own configuration says, whatever the archive holds', async () => {
    const stack = await startStack()
    const into = await collected(stack)
    const victim = join(stack.root, 'cron.d/x')
    const layout = JSON.parse(await readFile(join(into, 'layout.json'), 'utf8')) as { files: Record<string, object> }
    layout.files[`absolute${victim}`] = { path: victim, role: 'rules', owner: 'root:root' }
    await writeFiles(into, { [`absolute${victim}`]: '* * * * * root evil', 'layout.json': JSON.stringify(layout) })
    const config = await readFile(join(into, 'prometheus.yml'), 'utf8')
    await writeFile(join(into, 'prometheus.yml'), config.replace('rules/*.yml', victim))
    await writeFile(join(into, `absolute${victim}`), ruleFile('evil'))
    const before = await installed(stack, { aside: true })
    expect(await rejectionOf(stack.component.restore(into, wanted))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining(victim) })
    expect(await installed(stack, { aside: true })).toEqual(before)
    const { warnings } = await stack.component.restore(into, { ...wanted, force: true })
    expect(warnings.join('\n')).toContain(`${victim} was left out`)
    expect(await readdir(stack.root)).not.toContain('cron.d')
  })

  it('is not led out of the directory by a link in it, and not by the layout', async () => {
    const stack = await startStack()
    const into = await collected(stack)
    await mkdir(join(stack.root, 'elsewhere'))
    await rm(join(stack.etc, 'secrets'), { recursive: true })
    await symlink(join(stack.root, 'elsewhere'), join(stack.etc, 'secrets'))
    await rm(stack.configFile)
    const lost = createPrometheusComponent({ api: createPrometheusApi({ url: 'http://127.0.0.1:1' }), settings: { promtool: promtoolBinary(), configFile: stack.configFile, places: [join(stack.root, 'srv')] }, clock: systemClock })
    expect(await rejectionOf(lost.restore(into, wanted))).toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining('secrets/token') })
    expect(await readdir(join(stack.root, 'elsewhere'))).toEqual([])

    await writeFile(join(into, 'stowaway'), '')
    expect(await rejectionOf(lost.restore(into, wanted))).toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('stowaway') })
    await rm(join(into, 'stowaway'))
    await symlink('/etc/passwd', join(into, 'stowaway'))
    expect(await rejectionOf(lost.check(into, { signal }))).toMatchObject({ code: 'DAMAGED' })
  })

  it('restores beside a server that does not run, to where the settings say, and says that nothing was reloaded', async () => {
    const stack = await startStack()
    const into = await collected(stack)
    await stack.server.kill()
    const other = join(stack.root, 'opt/prom')
    await mkdir(other, { recursive: true })
    const api = createPrometheusApi({ url: stack.server.url })
    const component = createPrometheusComponent({ api, settings: { promtool: promtoolBinary(), configFile: join(other, 'main.yml'), places: [join(stack.root, 'srv')] }, clock: systemClock })
    const { warnings } = await component.restore(into, wanted)
    expect(warnings.join('\n')).toMatch(/it reads them when it starts/)
    expect(Object.keys(await readFiles(other))).toEqual(['main.yml', 'rules/a.yml', 'rules/b.yml', 'secrets/token', 'targets/one.json', 'web.yml'])

    const lost = createPrometheusComponent({ api, settings: {}, clock: systemClock })
    expect(await rejectionOf(lost.restore(into, wanted))).toMatchObject({ code: 'COMPONENT_REFUSED', hint: expect.stringContaining('components.prometheus.configFile') })
    expect(await rejectionOf(lost.collect(await emptyDirectory(stack.root), sealed))).toMatchObject({ code: 'COMPONENT_FAILED' })
  })

  it('reloads by the command of the settings where the lifecycle API is off, and says what to do where there is none', async () => {
    const stack = await startStack({ lifecycle: false })
    const into = await collected(stack)
    await writeFile(join(stack.etc, 'rules/a.yml'), ruleFile('changed'))
    const { warnings } = await stack.component.restore(into, wanted)
    expect(warnings.join('\n')).toMatch(/SIGHUP/)
    const withCommand = createPrometheusComponent({ api: stack.server.api, settings: { promtool: promtoolBinary(), reload: ['kill', '-HUP', String(stack.server.pid)] }, clock: systemClock })
    await writeFile(join(stack.etc, 'rules/a.yml'), ruleFile('changed'))
    const restored = await withCommand.restore(into, wanted)
    expect(restored.actions.at(-1)).toMatch(/it accepted it/)
    expect(await rulesOf(stack.server)).toEqual(['a', 'b', 'site'])
  })

  it('says that the files are in place where the server does not let it ask for a reload', async () => {
    const stack = await startStack()
    const into = await collected(stack)
    await writeFile(join(stack.etc, 'rules/a.yml'), ruleFile('changed'))
    const url = await startHttpServer((_request, response) => response.writeHead(401).end())
    const component = createPrometheusComponent({ api: createPrometheusApi({ url }), settings: { promtool: promtoolBinary(), configFile: stack.configFile }, clock: systemClock })
    const error = await rejectionOf(component.restore(into, wanted))
    expect(error).toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringMatching(/files are in place.*refuses the credentials/) })
    expect(await readFile(join(stack.etc, 'rules/a.yml'), 'utf8')).toBe(ruleFile('a'))
  })

  it('knows a server that calls its directory by another path, as one in a container does', async () => {
    const stack = await startStack({ config: { rule_files: ['rules/a.yml'] } })
    // The same files by a second path stand for a mount.
    const mounted = join(stack.root, 'mounted')
    await symlink(stack.etc, mounted)
    await writeFile(stack.configFile, stringify({ rule_files: [join(stack.etc, 'rules/*.yml')] }))
    const component = createPrometheusComponent({ api: stack.server.api, settings: { promtool: promtoolBinary(), configFile: join(mounted, 'prometheus.yml') }, clock: systemClock })
    const into = await emptyDirectory(stack.root)
    await component.collect(into, sealed)
    expect(Object.keys(await readFiles(into))).toEqual(['flags.json', 'layout.json', 'prometheus.yml', 'rules/a.yml', 'rules/b.yml', 'web.yml'])
    expect(await component.check(into, { signal })).toContainEqual(expect.objectContaining({ name: 'configuration', level: 'ok' }))
    await writeFile(join(stack.etc, 'rules/b.yml'), ruleFile('changed'))
    await component.restore(into, wanted)
    expect(await readFile(join(stack.etc, 'rules/b.yml'), 'utf8')).toBe(ruleFile('b'))
    expect(await rulesOf(stack.server)).toEqual(['a', 'b'])
  })

  it('judges a web configuration with the certificates beside it, and says where they are not in the archive', async (context) => {
    needPrograms(context, 'openssl')
    const certificates = await makeCertificates(await temporaryDirectory('certificates'))
    const root = await temporaryDirectory('web')
    await writeFiles(root, { 'prometheus.yml': '', 'tls/web.yml': stringify({ tls_server_config: { cert_file: 'server.crt', key_file: 'server.key' } }) })
    for (const [from, to] of [[certificates.server.certFile, 'server.crt'], [certificates.server.keyFile, 'server.key']] as const) await copyFile(from, join(root, 'tls', to))
    const server = await startPrometheus({
      binary: prometheusBinary(), dataDir: join(root, 'data'), config: { file: join(root, 'prometheus.yml') }, logFile: join(root, 'log'), readyTimeoutMs: 40_000,
      flags: [`--web.config.file=${join(root, 'tls/web.yml')}`], access: { tls: { caFile: certificates.caFile } },
    })
    atEndOfFile(() => server.kill())
    const component = createPrometheusComponent({ api: server.api, settings: { promtool: promtoolBinary() }, clock: systemClock })
    const levels = async (options: typeof sealed) => {
      const into = await emptyDirectory(root)
      const { leftOut } = await component.collect(into, options)
      const findings = await component.check(into, { signal })
      return { into, leftOut: leftOut.map(({ path }) => path), web: findings.find(({ name }) => name === 'web configuration') }
    }
    const whole = await levels(sealed)
    expect(whole).toMatchObject({ leftOut: [], web: { level: 'ok' } })
    expect(await levels(plain)).toMatchObject({ leftOut: [join(root, 'tls/server.crt'), join(root, 'tls/server.key')], web: { level: 'warn', detail: expect.stringMatching(/certificates are not in the archive/) } })
    await writeFile(join(whole.into, 'tls/server.key'), 'no key')
    expect((await component.check(whole.into, { signal })).find(({ name }) => name === 'web configuration')).toMatchObject({ level: 'fail' })
  })

  it('follows scrape_config_files, whose own paths begin at their own directories', async (context) => {
    const root = await temporaryDirectory('scrapes')
    await writeFiles(root, {
      'prometheus.yml': stringify({ scrape_config_files: ['scrapes/*.yml'] }),
      'scrapes/a.yml': stringify({ scrape_configs: [{ job_name: 'a', basic_auth: { username: 'u', password_file: 'a.secret' }, file_sd_configs: [{ files: ['../targets/*.json'] }] }] }),
      'scrapes/a.secret': 'hunter2',
      'targets/a.json': '[]',
    })
    const component = createPrometheusComponent({ api: createPrometheusApi({ url: 'http://127.0.0.1:1' }), settings: { promtool: promtoolBinary(), configFile: join(root, 'prometheus.yml') }, clock: systemClock })
    const into = await emptyDirectory(await temporaryDirectory('archive'))
    await component.collect(into, sealed)
    expect(Object.keys(await readFiles(into))).toEqual(['layout.json', 'prometheus.yml', 'scrapes/a.secret', 'scrapes/a.yml', 'targets/a.json'])
    if (!isAtLeast(await binaryVersion(prometheusBinary()), 2, 43)) context.skip('this Prometheus does not know scrape_config_files')
    await writeFiles(root, { 'scrapes/later.yml': 'scrape_configs: []', 'scrapes/a.yml': '{}' })
    expect((await component.check(into, { signal })).map(({ level, detail }) => `${level}: ${detail}`)).toEqual(['ok: promtool accepts it'])
    const { movedAside } = await component.restore(into, wanted)
    expect(movedAside.map(({ from }) => from)).toEqual([join(root, 'scrapes/a.yml'), join(root, 'scrapes/later.yml')])
    await writeFile(join(into, 'targets/a.json'), 'nonsense')
    expect((await component.check(into, { signal }))[0]).toMatchObject({ level: 'fail', detail: expect.stringMatching(/targets\/(a|\*)\.json/) })
  })

  it('tells doctor what it would archive, and that files have changed since they were loaded', async () => {
    const stack = await startStack({ config: { rule_files: ['rules/*.yml', 'gone.yml'], scrape_configs: [] } })
    const before = await stack.component.discover({ signal })
    expect(before.map(({ name, level }) => `${name}: ${level}`)).toEqual(['configuration: ok', 'named files: warn', 'reload: ok', 'loaded configuration: ok', 'promtool: ok'])
    const later = new Date(Date.now() + 60_000)
    await utimes(join(stack.etc, 'rules/a.yml'), later, later)
    expect(await stack.component.discover({ signal })).toContainEqual(expect.objectContaining({ name: 'loaded configuration', level: 'warn' }))
    await writeFile(stack.configFile, 'nonsense: [')
    await waitFor(async () => (await fetch(`${stack.server.url}/-/reload`, { method: 'POST' })).status === 500)
    expect(await stack.component.discover({ signal })).toContainEqual(expect.objectContaining({ name: 'configuration', level: 'fail' }))
    await writeFile(join(stack.root, 'other.yml'), '')
    const wrong = createPrometheusComponent({ api: stack.server.api, settings: { configFile: join(stack.root, 'other.yml') }, clock: systemClock })
    expect(await wrong.discover({ signal })).toContainEqual(expect.objectContaining({ level: 'warn', detail: expect.stringContaining(`started with ${stack.configFile}`) }))
    const lost = createPrometheusComponent({ api: createPrometheusApi({ url: 'http://127.0.0.1:1' }), settings: { promtool: '/nowhere/promtool' }, clock: systemClock })
    expect((await lost.discover({ signal })).map(({ level }) => level)).toEqual(['fail', 'warn'])
  })
})
