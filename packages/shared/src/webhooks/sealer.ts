// Creates the sealer from the configuration.

import { type Config, required } from '../runtime/config.ts'
import { createSealer, type Sealer } from './seal.ts'

/** @throws ConfigError when `SECRET_KEY` is missing */
export function sealerOf(config: Config): Sealer {
  const { SECRET_KEY_PREVIOUS: previous } = config
  const key = Buffer.from(required(config, 'SECRET_KEY'), 'base64')
  return createSealer(key, previous === undefined ? null : Buffer.from(previous, 'base64'))
}
