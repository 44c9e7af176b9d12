// The providers that there are. Everything outside of a provider's folder that needs a fact of one asks here or asks the adapter.

import { globalai } from './globalai/provider.ts'
import type { Provider } from './port.ts'

/** The provider that UPSTREAM_BASE_URL and UPSTREAM_API_KEY name. */
export const CONFIGURED: Provider = globalai
