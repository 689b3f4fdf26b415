import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type PlaceSources, placesOf } from '../../../src/components/configuration/places.ts'
import { writeFiles } from '../../support/configuration-files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

async function allowed(sources: Partial<PlaceSources> & { configFile: string }, paths: readonly string[]): Promise<string[]> {
  const places = await placesOf({ directories: [], files: [], references: [], ...sources })
  const judged = await Promise.all(paths.map(async (path) => ((await places.allow(path)) ? [path] : [])))
  return judged.flat()
}

describe('places that a restore may write to', () => {
  it('are the directory of the configuration, and nothing beside or above it', async () => {
    const root = await temporaryDirectory()
    const inside = [join(root, 'etc/prometheus.yml'), join(root, 'etc/rules/deep/a.yml')]
    expect(await allowed({ configFile: join(root, 'etc/prometheus.yml') }, [...inside, join(root, 'etc2/a.yml'), join(root, 'a.yml'), '/etc/cron.d/x', root])).toEqual(inside)
  })

  it('are the file alone where it lies in a directory that many programs share', async () => {
    expect(await allowed({ configFile: '/etc/no-such-prometheus.yml' }, ['/etc/no-such-prometheus.yml', '/etc/cron.d/x', '/etc/passwd'])).toEqual(['/etc/no-such-prometheus.yml'])
  })

  it('are what the configuration here names, and what the settings name', async () => {
    const root = await temporaryDirectory()
    await writeFiles(root, { 'etc/prometheus.yml': `rule_files: ["${root}/srv/rules/*.yml"]\nscrape_configs: [{job_name: a, bearer_token_file: ${root}/srv/token}]\n` })
    const wanted = [join(root, 'srv/rules/a.yml'), join(root, 'srv/token'), join(root, 'more/x/y')]
    const others = [join(root, 'srv/rules/a.txt'), join(root, 'srv/rules/deep/a.yml'), join(root, 'srv/other')]
    expect(await allowed({ configFile: join(root, 'etc/prometheus.yml'), directories: [join(root, 'more')] }, [...wanted, ...others])).toEqual(wanted)
  })

  it('are judged behind links: one in the directory that leads out of it opens nothing', async () => {
    const root = await temporaryDirectory()
    await mkdir(join(root, 'etc'))
    await mkdir(join(root, 'out'))
    await symlink(join(root, 'out'), join(root, 'etc/rules'))
    expect(await allowed({ configFile: join(root, 'etc/prometheus.yml') }, [join(root, 'etc/rules/a.yml')])).toEqual([])
    await writeFiles(root, { 'etc/prometheus.yml': 'rule_files: [rules/*.yml]\n' })
    expect(await allowed({ configFile: join(root, 'etc/prometheus.yml') }, [join(root, 'etc/rules/a.yml')])).toEqual([join(root, 'etc/rules/a.yml')])
    await symlink(join(root, 'etc'), join(root, 'link'))
    expect(await allowed({ configFile: join(root, 'link/prometheus.yml') }, [join(root, 'etc/a.yml'), join(root, 'link/a.yml')])).toEqual([join(root, 'etc/a.yml'), join(root, 'link/a.yml')])
  })
})
