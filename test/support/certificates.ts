import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../../src/system/process.ts'

export interface KeyPair {
  certFile: string
  keyFile: string
}

export interface Certificates {
  caFile: string
  /** For 127.0.0.1 and prometheus.test. */
  server: KeyPair
  /** For other.test only. */
  otherHost: KeyPair
  client: KeyPair
}

/** A CA of its own and what it signs, made with openssl (`needPrograms(ctx, 'openssl')`). */
export async function makeCertificates(directory: string): Promise<Certificates> {
  const ca = { certFile: join(directory, 'ca.crt'), keyFile: join(directory, 'ca.key') }
  await openssl('req', '-x509', ...newKey(ca.keyFile), '-out', ca.certFile, '-days', '2', '-subj', '/CN=prom-dr test CA')
  const signed = async (name: string, subjectAltName: string): Promise<KeyPair> => {
    const pair = { certFile: join(directory, `${name}.crt`), keyFile: join(directory, `${name}.key`) }
    const [request, extensions] = [join(directory, `${name}.csr`), join(directory, `${name}.ext`)]
    await writeFile(extensions, `subjectAltName=${subjectAltName}\n`)
    await openssl('req', ...newKey(pair.keyFile), '-out', request, '-subj', `/CN=${name}`)
    await openssl('x509', '-req', '-in', request, '-CA', ca.certFile, '-CAkey', ca.keyFile, '-CAcreateserial', '-days', '2', '-out', pair.certFile, '-extfile', extensions)
    return pair
  }
  return {
    caFile: ca.certFile,
    server: await signed('server', 'IP:127.0.0.1,DNS:prometheus.test'),
    otherHost: await signed('other-host', 'DNS:other.test'),
    client: await signed('client', 'DNS:client.test'),
  }
}

function newKey(keyFile: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile]
}

async function openssl(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await runProgram('openssl', args, { timeoutMs: 20_000 })
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`)
}
