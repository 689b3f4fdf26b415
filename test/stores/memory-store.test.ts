import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { objectStoreContract } from '../contracts/object-store-contract.ts'

objectStoreContract('the memory store', { largeBytes: 5_000_000, url: /^memory:\/\/store$/ }, async () => {
  const store = createMemoryStore()
  return { store, other: store, dispose: async () => store.close() }
})
