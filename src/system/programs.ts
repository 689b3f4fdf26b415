import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, isAbsolute, join, resolve } from 'node:path'
import { PromDrError } from '../errors.ts'

/** Where Debian and Ubuntu have the programs that prom-dr runs, by program name. */
const debianPackages: Readonly<Record<string, string>> = {
  prometheus: 'prometheus',
  promtool: 'prometheus',
  'prometheus-node-exporter': 'prometheus-node-exporter',
  'prometheus-alertmanager': 'prometheus-alertmanager',
  amtool: 'prometheus-alertmanager',
  'prometheus-pushgateway': 'prometheus-pushgateway',
  rsync: 'rsync',
  ssh: 'openssh-client',
  sshd: 'openssh-server',
  restic: 'restic',
  rclone: 'rclone',
  openssl: 'openssl',
  haproxy: 'haproxy',
  nginx: 'nginx',
  keepalived: 'keepalived',
  sqlite3: 'sqlite3',
  tar: 'tar',
  systemctl: 'systemd',
  'victoria-metrics': 'victoria-metrics',
}

/** Servers live in sbin, which is not on every user's PATH. */
const extraDirectories = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** The absolute path of an executable, looked up in PATH and sbin; a name with a slash is a path. Undefined: there is none. */
export function findProgram(file: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (file.includes('/')) return isExecutableFile(resolve(file)) ? resolve(file) : undefined
  const directories = [...(env['PATH'] ?? '').split(delimiter), ...extraDirectories].filter((directory) => isAbsolute(directory))
  return directories.map((directory) => join(directory, file)).find(isExecutableFile)
}

/** @throws PROGRAM_MISSING naming the Debian package that has it */
export function requireProgram(file: string, env: NodeJS.ProcessEnv = process.env): string {
  const found = findProgram(file, env)
  if (found !== undefined) return found
  const packageName = debianPackages[file.slice(file.lastIndexOf('/') + 1)]
  throw new PromDrError('PROGRAM_MISSING', file.includes('/') ? `${file} is not an executable file` : `the program ${file} is not installed`, {
    hint: packageName === undefined ? `install it, or put it on PATH` : `install it: apt-get install ${packageName}`,
  })
}

function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
