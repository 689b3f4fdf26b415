import { z } from 'zod'

// Imported before any schema is made. A command checks most shapes a few times: that zod makes code for each of them costs more than it saves, and
// saves nothing on three thousand manifests.
z.config({ jitless: true })
