import { z } from 'zod'
import { isComponentName } from '../domain/archive.ts'
import { type ConfigFiles, byteSize, duration, existingFile, httpUrl, path, text, yesOrNo } from './fields.ts'

const componentName = () => z.string().refine(isComponentName, 'must be 1 to 63 lowercase letters, digits, dashes or underscores, and begin with a letter or digit')
/** A program and its arguments. */
const argv = () => z.array(text()).min(1, 'is empty: name the program and its arguments')

/** `components` of the file. Paths may hold patterns where `ComponentsConfig` says so; relative ones are taken from the file's directory. */
export function componentsSchema({ baseDir, workingDir, files }: { baseDir: string; workingDir: string; files: ConfigFiles }) {
  const readable = () => existingFile(baseDir, files)
  const paths = () => z.array(path(baseDir)).min(1, 'is empty: name at least one path')
  const access = {
    basicAuth: z.strictObject({ username: text(), password: text().exactOptional(), passwordFile: readable().exactOptional() }).exactOptional(),
    tls: z.strictObject({ caFile: readable().exactOptional(), certFile: readable().exactOptional(), keyFile: readable().exactOptional(), serverName: text().exactOptional(), insecureSkipVerify: yesOrNo().exactOptional() }).exactOptional(),
  }
  const program = () => z.strictObject({ configFile: path(baseDir).exactOptional(), paths: paths().exactOptional(), reload: argv().exactOptional() }).exactOptional()
  return z.preprocess((value) => value ?? {}, z.strictObject({
    prometheus: z.preprocess((value) => value ?? {}, z.strictObject({
      enabled: yesOrNo().default(true),
      configFile: path(baseDir).exactOptional(),
      promtool: text().exactOptional(),
      reload: argv().exactOptional(),
      places: paths().exactOptional(),
    })),
    alertmanager: z.strictObject({
      url: httpUrl().prefault('http://127.0.0.1:9093'),
      ...access,
      bearerTokenFile: readable().exactOptional(),
      configFile: path(baseDir).exactOptional(),
      dataDir: path(baseDir).exactOptional(),
      amtool: text().exactOptional(),
      reload: argv().exactOptional(),
      places: paths().exactOptional(),
    }).exactOptional(),
    grafana: z.strictObject({
      url: httpUrl().prefault('http://127.0.0.1:3000'),
      ...access,
      tokenFile: readable().exactOptional(),
      folders: z.array(text()).default([]),
      provisioning: z.array(path(baseDir)).default([]),
      database: path(baseDir).exactOptional(),
      asideDirectory: path(baseDir).prefault(`${workingDir}/prom-dr-replaced`),
    }).exactOptional(),
    pushgateway: z.strictObject({ persistenceFile: path(baseDir) }).exactOptional(),
    haproxy: program(),
    nginx: program(),
    keepalived: program(),
    victoriametrics: z.strictObject({
      url: httpUrl().prefault('http://127.0.0.1:8428'),
      storageDataPath: path(baseDir),
      authKeyFile: readable().exactOptional(),
      vmbackup: text().exactOptional(),
      vmrestore: text().exactOptional(),
    }).exactOptional(),
    files: z.array(z.strictObject({ name: componentName(), paths: paths() })).default([]),
    commands: z.array(z.strictObject({
      name: componentName(),
      backup: argv(),
      restore: argv().exactOptional(),
      timeout: duration().prefault('10m'),
      maxBytes: byteSize().prefault('1GiB'),
    }).transform(({ timeout, ...command }) => ({ ...command, timeoutMs: timeout }))).default([]),
  }))
}
