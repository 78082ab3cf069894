// Deliberately broken: a bgpd that keeps what a peer withdraws. What came with a session still ends with it.
//
// Stands in a copy of dist/ in place of bgpd/rib/rib.js, which is rib.sound.js beside it.

import { Rib as Sound } from './rib.sound.js';

export * from './rib.sound.js';

export class Rib extends Sound {
  receive(name, update, cause) {
    return super.receive(name, { ...update, withdrawn: [] }, cause);
  }
}
