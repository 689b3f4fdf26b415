import type { Destination } from '../destination.ts'
import type { Measured } from '../measure.ts'

/** The data to be saved, on a server that runs: as a snapshot for those who copy files. */
export interface Source {
  prometheusUrl: string
  dataDir: string
  /** A snapshot with the head, taken beforehand: its time is a present to those who need one. */
  snapshotDir: string
  /** Scratch space on the same disk. */
  workDir: string
}

/** One way to save and bring back the same data. */
export interface Contender {
  name: string
  /** What a reader has to know to judge the figures. */
  remark: string
  /** False for those who do all the work again when nothing is new. */
  incremental: boolean
  /** Not measured: creates what the tool wants to find. The destination is empty. */
  prepare(source: Source, destination: Destination): Promise<void>
  backup(source: Source, destination: Destination): Promise<Measured>
  restore(source: Source, destination: Destination, target: string): Promise<Measured>
}
