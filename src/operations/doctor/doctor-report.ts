export interface DoctorCheck {
  /** Which verb or part needs it: `prometheus`, `data directory`, `repository <name>`, `restore`… */
  area: string
  name: string
  status: 'ok' | 'warn' | 'fail'
  detail: string
  /** What to do; present unless ok. */
  advice?: string
}

export interface DoctorReport {
  ok: boolean
  checks: DoctorCheck[]
}
