// The provider "GlobalAI OPC", as the registry has it.

import type { Provider } from '../port.ts'
import { createGlobalAi } from './adapter.ts'
import { CREATE_PATHS, FACTS, NAME } from './facts.ts'

export const globalai: Provider = {
  name: NAME,
  facts: FACTS,
  models: Object.keys(CREATE_PATHS),
  open: createGlobalAi,
}
