import { setMaxListeners } from 'node:events'

// As src/main.ts has it: all that runs at the same time listens to the same signals, and Node would take more than ten for a leak.
setMaxListeners(0)
