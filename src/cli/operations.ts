import type { ArchiveReport, ArchiveVerbRequest } from '../operations/components/archive-report.ts'
import type { BackupReport, BackupRequest } from '../operations/backup/backup-report.ts'
import type { DoctorReport } from '../operations/doctor/doctor-report.ts'
import type { ExpireReport, ExpireRequest } from '../operations/expire/expire-report.ts'
import type { HoldReport, HoldRequest } from '../operations/expire/hold-report.ts'
import type { InitReport, InitRequest } from '../operations/init-report.ts'
import type { ListReport, ListRequest } from '../operations/report/list-report.ts'
import type { ReEncryptReport, ReEncryptRequest } from '../operations/re-encrypt/re-encrypt-report.ts'
import type { RestorePartsReport, RestorePartsRequest } from '../operations/components/restore-components-report.ts'
import type { ShipReport, ShipRequest } from '../operations/ship/ship-report.ts'
import type { DiffReport, DiffRequest, ShowFileRequest, ShownFile } from '../operations/components/show-archives-report.ts'
import type { ShowReport, ShowRequest } from '../operations/report/show-report.ts'
import type { StatusReport, StatusRequest } from '../operations/report/status-report.ts'
import type { VerifyReport, VerifyRequest } from '../operations/verify/verify-report.ts'

/** What the verbs do, with their collaborators already given; a command parses, calls one of them and prints. */
export interface Operations {
  init(request: InitRequest): Promise<InitReport>
  doctor(): Promise<DoctorReport>
  backup(request: BackupRequest): Promise<BackupReport>
  archive(request: ArchiveVerbRequest): Promise<ArchiveReport>
  ship(request: ShipRequest): Promise<ShipReport>
  list(request: ListRequest): Promise<ListReport>
  show(request: ShowRequest): Promise<ShowReport>
  showFile(request: ShowFileRequest): Promise<ShownFile>
  diff(request: DiffRequest): Promise<DiffReport>
  status(request: StatusRequest): Promise<StatusReport>
  verify(request: VerifyRequest): Promise<VerifyReport>
  restore(request: RestorePartsRequest): Promise<RestorePartsReport>
  hold(request: HoldRequest): Promise<HoldReport>
  expire(request: ExpireRequest): Promise<ExpireReport>
  reEncrypt(request: ReEncryptRequest): Promise<ReEncryptReport>
  /** Releases connections; called once, also after a failure. */
  close(): Promise<void>
}
