import type { ArchiveReport } from '../../src/operations/components/archive-report.ts'
import type { BackupReport } from '../../src/operations/backup/backup-report.ts'
import type { CostReport } from '../../src/operations/report/cost-report.ts'
import type { DoctorReport } from '../../src/operations/doctor/doctor-report.ts'
import type { ExpireReport } from '../../src/operations/expire/expire-report.ts'
import type { HoldReport } from '../../src/operations/expire/hold-report.ts'
import type { ReEncryptReport } from '../../src/operations/re-encrypt/re-encrypt-report.ts'
import type { InitReport } from '../../src/operations/init-report.ts'
import type { ListReport } from '../../src/operations/report/list-report.ts'
import type { ComponentsOnlyReport } from '../../src/operations/components/restore-components-report.ts'
import type { RestoreReport } from '../../src/operations/restore/restore-report.ts'
import type { ShipReport } from '../../src/operations/ship/ship-report.ts'
import type { DiffReport } from '../../src/operations/components/show-archives-report.ts'
import type { ShowReport } from '../../src/operations/report/show-report.ts'
import type { StatusReport } from '../../src/operations/report/status-report.ts'
import type { VerifyReport } from '../../src/operations/verify/verify-report.ts'

const id = '20261121T030000Z-79535b5f'

export const backupReport: BackupReport = {
  failedComponents: [{ component: 'grafana', kind: 'grafana', error: { code: 'COMPONENT_FAILED', message: 'http://127.0.0.1:3000 did not answer', hint: 'is it running?' } }],
  recoveryPoint: {
    id,
    instance: 'prom-a',
    createdAt: '2026-11-21T03:00:00.412Z',
    maxTime: '2026-11-21T02:59:58.120Z',
    headIncluded: true, head: 'stored',
    blocks: 13,
    archives: [
      { component: 'alertmanager', kind: 'alertmanager', files: 4, contentBytes: 20_480, bytes: 6_144, encrypted: true, reused: false, leftOut: [] },
      { component: 'prometheus', kind: 'prometheus', files: 12, contentBytes: 65_536, bytes: 9_216, encrypted: true, reused: true, leftOut: [{ path: '/etc/prometheus/token', reason: 'it may not be read' }] },
    ],
    tiers: ['hourly', 'daily'],
    samples: 9_600_123,
    bytes: 123_456_789,
    knownAnswers: { series: 50, samples: 2980, queries: 1, dropped: 2 },
  },
  uploadedBytes: 20_971_520,
  reusedBytes: 102_485_269,
  durationMs: 4210,
  stages: [
    { name: 'snapshot', durationMs: 212 },
    { name: 'upload', durationMs: 3123 },
  ],
  repositories: [
    { name: 'primary', url: 's3://monitoring-dr/eu', ok: true, uploadedBytes: 20_971_520, reusedBytes: 102_485_269, uploadedBlocks: 1, reusedBlocks: 11, coveredBlocks: 1 },
    {
      name: 'second',
      url: 's3://monitoring-dr/us',
      ok: false,
      uploadedBytes: 0,
      reusedBytes: 0,
      uploadedBlocks: 0,
      reusedBlocks: 0,
      coveredBlocks: 0,
      error: { code: 'STORE_UNREACHABLE', message: 's3://monitoring-dr/us did not answer', hint: 'is the network up?' },
    },
  ],
  damagedAtSource: [],
  warnings: ['a snapshot that nobody owns is in the way'],
}

export const archiveReport: ArchiveReport = {
  recoveryPoint: { id, instance: 'prom-a', createdAt: '2026-11-21T03:00:00.412Z', archives: backupReport.recoveryPoint.archives, tiers: ['hourly'], bytes: 15_360 },
  failedComponents: backupReport.failedComponents,
  uploadedBytes: 8_192,
  reusedBytes: 9_216,
  durationMs: 512,
  stages: [{ name: 'collect components', durationMs: 312 }, { name: 'store', durationMs: 104 }],
  repositories: [{ name: 'primary', url: 's3://monitoring-dr/eu', ok: true, uploadedBytes: 8_192, reusedBytes: 9_216 }],
  warnings: ['the server was not asked: http://127.0.0.1:9090 did not answer'],
}

export const componentsRestored: ComponentsOnlyReport = {
  dryRun: false, requestedAt: 'latest', recoverableAt: '2026-11-21T03:00:00.412Z', target: null, stoppedBy: 'recovery-point',
  stages: [{ name: 'fetch and check', durationMs: 214 }, { name: 'put in place', durationMs: 96 }],
  bytes: 15_360, rpoSeconds: null, rtoSeconds: null,
  repaired: [{ key: `instances/prom-a/archives/grafana/${'a'.repeat(64)}.tar.gz`, from: 'second', reason: 'it is missing' }],
  components: [
    {
      component: 'prometheus', kind: 'prometheus', recoveryPoint: id, createdAt: '2026-11-21T03:00:00.412Z', repository: 'primary', files: 12, bytes: 9_216, ok: true,
      findings: [{ name: 'promtool', level: 'warn', detail: 'promtool is not installed', advice: 'install it' }],
      actions: ['put /etc/prometheus/prometheus.yml in place', 'the server has loaded it'], movedAside: [{ from: '/etc/prometheus/prometheus.yml', to: '/etc/prometheus/.prom-dr-replaced-1/prometheus.yml' }],
      toReenter: [], leftOut: [{ path: '/etc/prometheus/token', reason: 'archives are not encrypted' }], warnings: [],
    },
    {
      component: 'grafana', kind: 'grafana', recoveryPoint: id, createdAt: '2026-11-21T03:00:00.412Z', repository: 'second', files: 40, bytes: 6_144, ok: false,
      error: { code: 'COMPONENT_FAILED', message: 'http://127.0.0.1:3000 did not answer', hint: 'is it running?' },
      findings: [], actions: [], movedAside: [], toReenter: ['the password of the data source mysql'], leftOut: [], warnings: ['one dashboard is provisioned from a file'],
    },
  ],
  unreachable: [], warnings: ['fresh is in no recovery point: it was not restored'],
}

export const listReport: ListReport = {
  instances: [
    {
      name: 'prom-a',
      recoverable: [
        { from: '2026-11-18T03:00:00.000Z', to: '2026-11-20T03:00:00.000Z', exact: false, by: 'recovery-points' },
        { from: '2026-11-20T04:00:00.000Z', to: '2026-11-21T03:04:11.120Z', exact: true, by: 'log' },
      ],
      gaps: [{ from: '2026-11-20T03:00:10.000Z', to: '2026-11-20T04:00:00.000Z', reason: 'segment 00000003 was removed before all of it was shipped', repository: 'near' }],
      branches: [{ generation: '20261119T061635Z-aaaaaaaa', repository: 'primary', from: '2026-11-19T06:16:35.000Z', to: '2026-11-19T08:00:00.000Z' }],
      recoveryPoints: [
        { id, createdAt: '2026-11-21T03:00:00.412Z', maxTime: '2026-11-21T02:59:58.120Z', tiers: ['hourly', 'daily'], bytes: 123_456_789, blocks: 13, archives: ['alertmanager', 'prometheus'], headIncluded: true, head: 'stored', held: true, hold: { until: '2027-02-19T12:00:00.000Z', reason: 'incident 4711' }, repositories: ['primary', 'near'] },
        { id: '20261120T030000Z-0000000a', createdAt: '2026-11-20T03:00:00.000Z', maxTime: null, tiers: [], bytes: 812, blocks: 0, archives: [], headIncluded: false, head: 'wal', held: false, hold: null, repositories: ['primary'] },
      ],
    },
  ],
  damaged: [{ repository: 'near', key: 'instances/prom-a/recovery-points/x.json', reason: 'its checksum is wrong' }],
  unreachable: [{ repository: 'second', url: 's3://monitoring-dr/us', message: 'it did not answer' }],
}

export const showReport: ShowReport = {
  id,
  instance: 'prom-a',
  repository: 'primary',
  createdAt: '2026-11-21T03:00:00.412Z',
  maxTime: '2026-11-21T02:59:58.120Z',
  minTime: '2026-11-01T00:00:00.000Z',
  tiers: ['hourly'],
  held: false,
  hold: null,
  headIncluded: true, head: 'stored',
  source: { prometheusVersion: '2.42.0', dataDir: '/var/lib/prometheus/metrics2', hostname: 'prom-a.example', externalLabels: { replica: 'a', site: 'eu "1"' }, retention: '15d' },
  blocks: [
    { ulid: '01JD5W4XH1Q0Z3V6T8Y2C4N7KM', minTime: '2026-11-21T02:00:00.000Z', maxTime: '2026-11-21T02:59:58.121Z', level: 1, outOfOrder: false, series: 1200, samples: 288_000, bytes: 3_145_728, tombstones: false, head: true },
    { ulid: '01JD5W4XH1Q0Z3V6T8Y2C4N7KA', minTime: '2026-11-01T00:00:00.000Z', maxTime: '2026-11-21T02:00:00.000Z', level: 4, outOfOrder: true, series: 1300, samples: 9_312_123, bytes: 120_311_061, tombstones: true, head: false },
  ],
  totals: { blocks: 2, series: 2500, samples: 9_600_123, bytes: 123_456_789 },
  archives: backupReport.recoveryPoint.archives.map(({ reused: _, ...archive }) => archive),
  knownAnswers: { series: 50, samples: 2980, queries: ['count(up)'], dropped: 0 },
  damagedAtSource: [{ ulid: '01JD5W4XH1Q0Z3V6T8Y2C4N7KA', reason: 'it could not be stored: its chunks/000001 cannot be read (EIO)' }],
  cost: { uploadedBytes: 20_971_520, reusedBytes: 102_485_269, durationMs: 64_210 },
}

export const shownFiles: ShowReport = {
  ...showReport,
  archives: showReport.archives.map((archive) => ({ ...archive, paths: [{ path: `${archive.component}.yml`, sizeBytes: 10_240, mode: 0o640, sha256: 'a'.repeat(64) }] })),
}

const side = (sizeBytes: number, mode = 0o644) => ({ sha256: 'a'.repeat(64), sizeBytes, mode })

export const diffReport: DiffReport = {
  from: { id: '20261120T230000Z-0c535b5f', createdAt: '2026-11-20T23:00:00.012Z' },
  to: { id, createdAt: '2026-11-21T03:00:00.412Z' },
  components: [
    { component: 'alertmanager', change: 'same', files: [] },
    {
      component: 'prometheus', change: 'changed',
      files: [
        { path: 'prometheus.yml', change: 'changed', before: side(30), after: side(30, 0o600), diff: ['--- a/prometheus.yml', '+++ b/prometheus.yml', '@@ -1,2 +1,2 @@', ' global:', '-  scrape_interval: 15s', '+  scrape_interval: 60s'] },
        { path: 'rules.bin', change: 'changed', before: side(2_048), after: side(4_096), diff: null },
        { path: 'web.yml', change: 'mode', before: side(10), after: side(10, 0o600), diff: null },
      ],
    },
  ],
}

export const expireReport: ExpireReport = {
  applied: false,
  removed: [{ id: '20261101T030000Z-0000000a', repository: 'primary', instance: 'prom-a', createdAt: '2026-11-01T03:00:00.000Z', tiers: ['hourly'], reason: 'not among the last 3; hourly: 48 newer ones are kept' }],
  kept: [
    { id: '20261020T030000Z-0000000b', repository: 'primary', instance: 'prom-a', createdAt: '2026-10-20T03:00:00.000Z', tiers: ['hourly', 'daily'], reasons: ['held until 2027-02-19T12:00:00.000Z: incident 4711'] },
    { id, repository: 'primary', instance: 'prom-a', createdAt: '2026-11-21T03:00:00.412Z', tiers: ['hourly', 'daily', 'weekly'], reasons: ['last 1 of 3', 'hourly 1 of 48 (2026-11-21T03+00:00)', 'daily 1 of 14 (2026-11-21)'] },
  ],
  markedBlocks: 3,
  deletedBlocks: 1,
  freedBytes: 12_345_678,
  repositories: [
    { name: 'primary', url: 's3://monitoring-dr/eu', ok: true, instances: ['prom-a'], retention: { keepLast: 3, keepHourly: 48, keepDaily: 14, keepWeekly: 8, keepMonthly: 12, keepYearly: 3 }, removed: 1, kept: 2, markedBlocks: 3, deletedBlocks: 1, markedObjects: 2, deletedObjects: 0, freedBytes: 12_345_678, waitingBytes: 40_000_000, nextRemovalAt: '2026-11-22T03:30:05.000Z', locked: [{ name: 'blocks/01JD5W4XH1Q0Z3V6T8Y2C4N7KA/', until: '2026-12-01T00:00:00.000Z' }], movedObjects: 12, movedBytes: 3_000_000_000 },
    { name: 'second', url: 's3://monitoring-dr/us', ok: false, instances: [], retention: { keepLast: 1, keepHourly: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 }, removed: 0, kept: 0, markedBlocks: 0, deletedBlocks: 0, markedObjects: 0, deletedObjects: 0, freedBytes: 0, waitingBytes: 0, nextRemovalAt: null, locked: [], movedObjects: 0, movedBytes: 0, error: { code: 'STORE_UNREACHABLE', message: 'it did not answer', hint: 'is the network up?' } },
  ],
  warnings: [],
}

export const reEncryptReport: ReEncryptReport = {
  recipients: ['age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'],
  repositories: [
    { name: 'primary', url: 's3://monitoring-dr/eu', ok: true, archives: 12, objects: 340, manifests: 96, bytes: 12_345_678_901, unchanged: 3, failed: [] },
    { name: 'near', url: 'file:///near', ok: false, archives: 0, objects: 1, manifests: 0, bytes: 4_096, unchanged: 0, failed: [{ key: 'blocks/01KAJ0000000000000000000AB/index', code: 'KEY_MISSING', reason: 'it is sealed for age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg; no identity in /etc/prom-dr/key.txt opens it' }] },
    { name: 'second', url: 's3://monitoring-dr/us', ok: false, archives: 0, objects: 0, manifests: 0, bytes: 0, unchanged: 0, failed: [], error: { code: 'LOCKED', message: 'a backup of instance prom-a is running' } },
  ],
}

export const costReport: CostReport = {
  currency: 'USD',
  monthly: null,
  repositories: [
    {
      name: 'primary', url: 's3://monitoring-dr/eu', objects: 1_312, bytes: 53_687_091_200, monthly: 1.05,
      tiers: [
        { name: 'last', objects: 300, bytes: 21_474_836_480, monthly: 0.46 },
        { name: 'monthly', objects: 900, bytes: 31_138_512_896, monthly: 0.11 },
        { name: 'log', objects: 112, bytes: 1_073_741_824, monthly: 0.02 },
      ],
      components: [{ name: 'tsdb', objects: 1_180, bytes: 52_545_740_800, monthly: 1.02 }, { name: 'grafana', objects: 20, bytes: 67_608_576, monthly: 0.01 }],
      instances: [{ name: 'prom-a', objects: 1_312, bytes: 53_687_091_200, monthly: 1.05 }],
      storageClasses: [{ name: 'STANDARD', objects: 412, bytes: 22_548_578_304, monthly: 0.94 }, { name: 'COLD', objects: 900, bytes: 31_138_512_896, monthly: null }],
    },
  ],
  unpriced: ['COLD'],
}

export const holdReport: HoldReport = {
  id,
  instance: 'prom-a',
  until: '2027-02-19T12:00:00.000Z',
  reason: 'incident 4711',
  repositories: [
    { name: 'primary', url: 's3://monitoring-dr/eu', result: 'held' },
    { name: 'near', url: 'file:///near', result: 'absent' },
    { name: 'second', url: 's3://monitoring-dr/us', result: 'failed', error: { code: 'STORE_UNREACHABLE', message: 'it did not answer' } },
  ],
}

export const verifyReport: VerifyReport = {
  ok: true,
  checkedRecoveryPoints: 24,
  checkedObjects: 312,
  listedBytes: 5_000_000_000,
  checkedBytes: 0,
  checkedChunks: 0,
  damaged: [],
  subset: null,
  answers: [],
  durationMs: 812,
  unreachable: [],
  warnings: [],
}

export const damagedVerifyReport: VerifyReport = {
  ...verifyReport,
  ok: false,
  checkedBytes: 500_000_000,
  checkedChunks: 120_000,
  subset: { group: 3, groups: 10 },
  damaged: [{ repository: 'primary', key: 'blocks/01JD5W4XH1Q0Z3V6T8Y2C4N7KA/chunks/000001', reason: 'SHA-256 differs', recoveryPoints: [id] }],
  answers: [
    { recoveryPoint: id, equal: false, series: 50, samples: 2980, queries: 1, skipped: 3, differences: Array.from({ length: 12 }, (_, index) => ({ what: `up{instance="${index}"}`, expected: '1', observed: 'nothing' })) },
  ],
  unreachable: [{ repository: 'second', url: 's3://monitoring-dr/us', message: 'it did not answer' }],
}

export const restoreReport: RestoreReport = {
  dryRun: false,
  plan: {
    instance: 'prom-a',
    recoveryPoint: id,
    repository: 'primary',
    requestedAt: 'latest',
    recoverableAt: '2026-11-21T02:59:58.120Z',
    stoppedBy: 'recovery-point',
    target: '/var/lib/prometheus/metrics2',
    blocks: [{ ulid: '01JD5W4XH1Q0Z3V6T8Y2C4N7KM', minTime: '2026-11-21T02:00:00.000Z', maxTime: '2026-11-21T02:59:58.121Z', bytes: 3_145_728, samples: 288_000, head: true }],
    bytes: 3_145_728,
    objects: 3,
    preflight: [
      { name: 'the target is empty', ok: true, detail: '/var/lib/prometheus/metrics2 is empty' },
      { name: 'owner', ok: true, detail: 'prometheus:prometheus' },
    ],
    estimateSeconds: 2,
    warnings: [],
  },
  requestedAt: 'latest',
  recoverableAt: '2026-11-21T02:59:58.120Z',
  target: '/var/lib/prometheus/metrics2',
  stoppedBy: 'recovery-point',
  stages: [
    { name: 'read repositories', durationMs: 12 },
    { name: 'fetch', durationMs: 1890 },
    { name: 'start', durationMs: 950 },
  ],
  bytes: 3_145_728,
  resumedBytes: 1024,
  rpoSeconds: 14.2,
  rtoSeconds: 2.9,
  repaired: [{ key: 'blocks/01JD5W4XH1Q0Z3V6T8Y2C4N7KM/index', from: 'near', reason: 'SHA-256 differs' }],
  replacedTo: '/var/lib/prometheus/metrics2/.prom-dr-replaced-20261121T030100Z',
  answers: { recoveryPoint: id, equal: true, series: 50, samples: 2980, queries: 1, skipped: 0, differences: [] },
  unreachable: [],
  warnings: ['history is older than a retention of 2d would keep'],
}

export const refusedPlan: RestoreReport = {
  ...restoreReport,
  dryRun: true,
  answers: null,
  repaired: [],
  plan: {
    ...restoreReport.plan,
    preflight: [...restoreReport.plan.preflight, { name: 'no server runs on it', ok: false, detail: 'prometheus (pid 812) has files open', advice: 'stop it: systemctl stop prometheus' }],
  },
}

export const doctorReport: DoctorReport = {
  ok: false,
  checks: [
    { area: 'prometheus', name: 'reachable', status: 'ok', detail: '2.42.0 at http://127.0.0.1:9090' },
    { area: 'prometheus', name: 'admin API', status: 'fail', detail: 'off', advice: 'start it with --web.enable-admin-api' },
    { area: 'repository primary', name: 'clock', status: 'warn', detail: '3 s behind ours', advice: 'keep the clocks in step' },
  ],
}

export const initReport: InitReport = {
  path: '/etc/prom-dr/prom-dr.yml',
  text: 'instance: prom-a\n',
  discovered: [
    { name: 'instance', value: 'prom-a' },
    { name: 'version', value: '2.42.0' },
  ],
  warnings: ['the admin API is off'],
}

export const shipReport: ShipReport = {
  instance: 'prom-a',
  shippedTo: '00000005:26320',
  newestSample: '2026-11-21T06:17:25.857Z',
  lagSeconds: 4,
  generation: '20261121T061635Z-aaaaaaaa',
  parts: 33,
  bytes: 84992,
  repositories: [
    { name: 'primary', url: 's3://bkt', ok: true, generation: '20261121T061635Z-aaaaaaaa', shippedTo: '00000005:26320', newestSample: '2026-11-21T06:17:25.857Z', lagSeconds: 4, parts: 33, bytes: 84992, gaps: [{ from: '2026-11-21T06:10:00.000Z', to: '2026-11-21T06:12:00.000Z', reason: 'segment 00000003 was removed before all of it was shipped' }] },
    { name: 'near', url: 'file:///srv/near', ok: false, generation: null, shippedTo: null, newestSample: null, lagSeconds: null, parts: 0, bytes: 0, gaps: [], error: { code: 'STORE_UNREACHABLE', message: '/srv/near is not there', hint: 'mount it' } },
  ],
  corruption: [],
  unknownRecords: [{ type: 99, path: '/var/lib/prometheus/metrics2/wal/00000004', segment: 4, offset: 32_768 }],
  backups: [
    { repository: 'primary', reason: 'there is a gap in the shipped log: segment 00000003 was removed before all of it was shipped', ok: true, recoveryPoint: id },
    { repository: 'near', reason: 'Prometheus\'s own log is damaged: what follows is in the server\'s memory alone', ok: false, recoveryPoint: null, error: { code: 'ADMIN_API_DISABLED', message: 'the admin API is off', hint: 'start Prometheus with --web.enable-admin-api' } },
  ],
  warnings: ['far: there is no recovery point that the shipped log could be replayed onto: run "prom-dr backup"'],
}

export const statusReport: StatusReport = {
  instances: [
    {
      name: 'prom-a', rpoSeconds: 7.2, shippedTo: '00000005:26320', generation: '20261121T061635Z-aaaaaaaa', newestSample: '2026-11-21T11:59:52.800Z', heartbeatAt: '2026-11-21T11:59:55.000Z',
      lastRecoveryPointAt: '2026-11-21T11:00:00.412Z', lastVerifiedAt: '2026-11-21T04:00:09.000Z', lastDrill: null, health: 'ok', reason: 'shipped up to now',
      repositories: [
        { name: 'primary', rpoSeconds: 7.2, shippedTo: '00000005:26320', generation: '20261121T061635Z-aaaaaaaa', newestSample: '2026-11-21T11:59:52.800Z', heartbeatAt: '2026-11-21T11:59:55.000Z', lastRecoveryPointAt: '2026-11-21T11:00:00.412Z' },
        { name: 'near', rpoSeconds: null, shippedTo: null, generation: null, newestSample: null, heartbeatAt: null, lastRecoveryPointAt: '2026-11-21T11:00:00.412Z' },
      ],
    },
    {
      name: 'prom-b', rpoSeconds: 4210, shippedTo: '00000002:512', generation: '20261121T061635Z-bbbbbbbb', newestSample: '2026-11-21T10:49:50.000Z', heartbeatAt: '2026-11-21T10:49:58.000Z',
      lastRecoveryPointAt: '2026-11-21T10:00:00.000Z', lastVerifiedAt: null, lastDrill: null, health: 'shipper-dead',
      reason: 'the shipper has given no sign of life since then: is "prom-dr ship" running, and does it reach the repository?',
      repositories: [{ name: 'primary', rpoSeconds: 4210, shippedTo: '00000002:512', generation: '20261121T061635Z-bbbbbbbb', newestSample: '2026-11-21T10:49:50.000Z', heartbeatAt: '2026-11-21T10:49:58.000Z', lastRecoveryPointAt: '2026-11-21T10:00:00.000Z' }],
    },
  ],
  damaged: [],
  unreachable: [],
}
