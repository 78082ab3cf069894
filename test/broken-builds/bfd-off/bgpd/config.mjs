// Deliberately broken: a bgpd that has no BFD, whatever its flags say.
//
// Stands in a copy of dist/ in place of bgpd/config.js, which is config.sound.js beside it.

import { readConfig as sound } from './config.sound.js';

export * from './config.sound.js';

export function readConfig(argv, env) {
  return sound([...argv, '--bfd=false'], env);
}
