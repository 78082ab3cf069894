// Since when a path is known: when the attribute set was first given by that session, not when the prefix was.
//
// The RIB has no clock and one path serves thousands of prefixes; so this costs a step per change, not one per prefix.

import type { Clock } from '../../lib/run/clock.ts';
import type { RibChange } from '../rib/loc-rib.ts';
import type { Path } from '../rib/path.ts';

export class PathAges {
  readonly #clock: Clock;
  readonly #since = new WeakMap<Path, bigint>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Follows the Loc-RIB from its beginning. */
  observe(changes: readonly RibChange[]): void {
    for (const change of changes) {
      if (change.type !== 'moved') continue;
      for (const path of change.to?.paths ?? []) this.since(path);
    }
  }

  /** Microseconds since the Unix epoch; now for a path that was not heard of. */
  since(path: Path): bigint {
    let since = this.#since.get(path);
    if (since === undefined) {
      since = this.#clock.unixMicros();
      this.#since.set(path, since);
    }
    return since;
  }
}
