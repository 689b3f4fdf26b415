import { type ErrorCode, PromDrError, type PromDrErrorOptions, systemCode } from '../errors.ts'

export interface HttpFailureNames {
  /** As a message names it: "Prometheus". */
  service: string
  unreachable: ErrorCode
  badResponse: ErrorCode
  /** What to do when nothing answers. */
  unreachableHint: string
}

interface FailedConnection {
  /** Without credentials. */
  url: string
  failures: HttpFailureNames
  reusedConnection: boolean
}

/** What TLS said no to, in plain words, by the error codes of OpenSSL and Node. */
const tlsReasons: Readonly<Record<string, [what: string, hint: string]>> = {
  SELF_SIGNED_CERT_IN_CHAIN: ['its certificate is signed by a CA that is not trusted', 'give the CA in tls.caFile'],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['its certificate is self-signed and not trusted', 'give the certificate in tls.caFile'],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['its certificate is signed by a CA that is not trusted', 'give the CA in tls.caFile'],
  UNABLE_TO_GET_ISSUER_CERT: ['the CA that signed its certificate is not known', 'give the whole chain in tls.caFile'],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['the CA that signed its certificate is not known', 'give the CA in tls.caFile'],
  CERT_HAS_EXPIRED: ['its certificate has expired', 'renew the certificate, and check the clocks'],
  CERT_NOT_YET_VALID: ['its certificate is not valid yet', 'check the clocks of both hosts'],
  ERR_TLS_CERT_ALTNAME_INVALID: ['its certificate is for another host name', 'use the name in the certificate, or set tls.serverName'],
  ERR_SSL_WRONG_VERSION_NUMBER: ['it does not speak TLS', 'does the URL want http:// instead of https://?'],
}

/** A failure below HTTP as the one error class, under the code its caller wants. */
export function connectionFailure(error: Error, failed: FailedConnection): PromDrError {
  const code = systemCode(error) ?? ''
  const { url, failures } = failed
  const because = (what: string, options: PromDrErrorOptions) =>
    new PromDrError(failures.unreachable, `cannot reach ${failures.service} at ${url}: ${what}`, { cause: error, ...options })
  const tls = tlsReasons[code] ?? (/wrong version number|packet length too long|record layer failure/i.test(error.message) ? tlsReasons['ERR_SSL_WRONG_VERSION_NUMBER'] : undefined)
  if (tls !== undefined) return because(tls[0], { hint: tls[1] })
  if (/alert (bad |)certificate|certificate required/i.test(error.message) || code.includes('CERTIFICATE_REQUIRED')) {
    return because('it wants a client certificate that it trusts', { hint: 'give one in tls.certFile and tls.keyFile' })
  }
  if (code.startsWith('ERR_OSSL') || /^(PEM|X509)/.test(error.message)) {
    return new PromDrError('CONFIG_INVALID', `the certificate or key for ${failures.service} cannot be used: ${error.message}`, { hint: 'tls.certFile and tls.keyFile hold PEM and belong together', cause: error })
  }
  if (code.startsWith('HPE_')) return new PromDrError(failures.badResponse, `${failures.service} at ${url} does not speak HTTP: ${error.message}`, { hint: `check the address and port of ${failures.service}`, cause: error })
  if (code === 'ECONNRESET' || code === 'EPIPE') return because('the connection was closed in the middle', { hint: failures.unreachableHint, details: { connectionClosed: true, staleConnection: failed.reusedConnection } })
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return because('its host name is not known', { hint: 'check the name in the URL, and DNS' })
  if (code === 'ECONNREFUSED') return because('the connection was refused', { hint: failures.unreachableHint })
  return because(error.message || code, { hint: failures.unreachableHint })
}
