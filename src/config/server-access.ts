export interface TlsConfig {
  caFile?: string
  certFile?: string
  keyFile?: string
  serverName?: string
  insecureSkipVerify?: boolean
}

export interface BasicAuthConfig {
  username: string
  password?: string
  passwordFile?: string
}
