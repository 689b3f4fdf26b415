import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createProgramConfiguration } from '../../src/components/program-configuration.ts'
import { collecting, readTree, restoring } from '../support/component-directories.ts'
import { writeFiles } from '../support/configuration-files.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const signal = new AbortController().signal
const now = () => new Date('2026-11-21T03:00:00Z')

const cases = {
  haproxy: {
    main: 'haproxy.cfg',
    files: (dir: string) => ({ 'haproxy.cfg': `defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n  errorfile 503 ${dir}/errors/503.http\nfrontend in\n  bind 127.0.0.1:18099\n`, 'errors/503.http': 'HTTP/1.0 503 Gone\r\n\r\n' }),
    broken: 'frontend in\n  bund 127.0.0.1:0\n',
  },
  nginx: {
    main: 'nginx.conf',
    files: (dir: string) => ({ 'nginx.conf': `pid ${dir}/run.pid;\nevents {}\nhttp {\n  include ${dir}/sites/*.conf;\n}\n`, 'sites/a.conf': 'server { listen 127.0.0.1:8099; }\n' }),
    broken: 'events {}\nhttp { serwer {} }\n',
  },
  keepalived: {
    main: 'keepalived.conf',
    files: (dir: string) => ({ 'keepalived.conf': `include ${dir}/conf.d/*.conf\n`, 'conf.d/vip.conf': 'virtual_server 127.0.0.9 80 {\n  lb_algo rr\n  lb_kind NAT\n  protocol TCP\n  real_server 127.0.0.1 80 {\n    weight 1\n  }\n}\n' }),
    broken: 'vrrp_instance vip {\n  interface lo\n  virtual_router_id 999\n}\n',
  },
} as const

describe.each(Object.entries(cases) as [keyof typeof cases, (typeof cases)[keyof typeof cases]][])('the configuration of %s', (program, { main, files, broken }) => {
  async function arrange() {
    const directory = await temporaryDirectory()
    const [live, into] = [join(directory, 'live'), join(directory, 'collected')]
    await Promise.all([mkdir(live), mkdir(into)])
    await writeFiles(live, files(live))
    return { directory, live, into, component: createProgramConfiguration(program, { configFile: join(live, main), now }) }
  }

  it('is judged by the program itself on the files that were collected, not on those that are installed', async ({ skip }) => {
    needPrograms({ skip }, program)
    const { directory, live, into, component } = await arrange()
    await component.collect(into, collecting())
    const collected = await readTree(into)
    // What is installed is gone and another, so that only the collected files can be meant.
    await rm(live, { recursive: true })
    expect((await component.check(into, { signal })).map(({ level, detail }) => ({ level, detail }))).toContainEqual({ level: 'ok', detail: expect.stringContaining('accepts') })
    expect(await readTree(into)).toEqual(collected)
    expect(Object.keys(await readTree(directory)).filter((path) => !path.startsWith('collected'))).toEqual([])
  })

  it('is refused when the program refuses it, unless that is forced', async ({ skip }) => {
    needPrograms({ skip }, program)
    const { live, into, component } = await arrange()
    await writeFile(join(live, main), broken)
    await component.collect(into, collecting())
    await writeFile(join(live, main), 'as it was')
    await expect(component.restore(into, restoring())).rejects.toMatchObject({ code: 'COMPONENT_REFUSED', message: expect.stringContaining(main) })
    expect(await readFile(join(live, main), 'utf8')).toBe('as it was')
    await component.restore(into, restoring({ force: true }))
    expect(await readFile(join(live, main), 'utf8')).toBe(broken)
  })
})

describe('the command that has a program take its files over', () => {
  it('is run once something was put in place, and its failure is told while the files stay', async () => {
    const directory = await temporaryDirectory()
    const [live, into] = [join(directory, 'live'), join(directory, 'collected')]
    await Promise.all([mkdir(live), mkdir(into)])
    await writeFiles(live, { 'haproxy.cfg': 'global\n' })
    await symlink('/bin/false', join(directory, 'reload'))
    const with_ = (reload: string[]) => createProgramConfiguration('haproxy', { configFile: join(live, 'haproxy.cfg'), reload, now })
    await with_([]).collect(into, collecting())
    expect((await with_(['/bin/false']).restore(into, restoring({ force: true }))).actions).toEqual([])
    await writeFile(join(live, 'haproxy.cfg'), 'changed')
    const failed = await with_([join(directory, 'reload')]).restore(into, restoring({ force: true }))
    expect(failed.warnings).toEqual([expect.stringMatching(/in place, but they were not taken over: .*reload ended with 1/)])
    await writeFile(join(live, 'haproxy.cfg'), 'changed')
    expect((await with_(['/bin/true']).restore(into, restoring({ force: true }))).actions).toEqual([`replaced ${join(live, 'haproxy.cfg')}`, 'ran /bin/true'])
  })
})
