import type { Component, ExternalPlace } from '../../components/component.ts'
import type { Encryption } from '../../domain/encryption.ts'
import type { ScratchOptions } from '../../packing/scratch-directory.ts'

export interface ConfiguredComponent {
  component: Component
  /** False for what is looked for by itself: that it is not there is no failure. */
  asked: boolean
}

/** What operations need of components. */
export interface ComponentsContext {
  /** In the order in which they are restored. */
  components: readonly ConfiguredComponent[]
  /** Absent where archives are stored in the clear. */
  encryption?: Encryption | undefined
  /** What sealed archives are opened with; its own errors say what is missing. */
  opening?: Pick<Encryption, 'decrypt'> | undefined
  /** Where archives lie in the clear while they are packed or unpacked. */
  scratch: ScratchOptions
  /** How a component's own tool reaches a repository, by its name. */
  places: ReadonlyMap<string, Pick<ExternalPlace, 'url' | 's3'>>
}
