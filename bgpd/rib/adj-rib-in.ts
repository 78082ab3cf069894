// Adj-RIB-In: what one peer told us, one family, after the checks of BGP itself (RFC 4271 section 3.2).
//
// It outlives a session where routes are kept over a restart; which session a route came from is its path's source.

import type { Prefix } from '../../lib/net/prefix.ts';
import type { Path } from './path.ts';

export class AdjRibIn {
  readonly #paths = new Map<Prefix, Path>();

  get size(): number {
    return this.#paths.size;
  }

  get(prefix: Prefix): Path | undefined {
    return this.#paths.get(prefix);
  }

  entries(): IterableIterator<[Prefix, Path]> {
    return this.#paths.entries();
  }

  /** Takes an announcement. Gives the prefixes for which that is news. */
  announce(path: Path, prefixes: readonly Prefix[]): Prefix[] {
    return prefixes.filter((prefix) => {
      if (this.#paths.get(prefix) === path) return false;
      this.#paths.set(prefix, path);
      return true;
    });
  }

  /** Takes a withdrawal. Gives the prefixes that were there; one that was not is no error (RFC 4271 section 4.3). */
  withdraw(prefixes: readonly Prefix[]): Prefix[] {
    return prefixes.filter((prefix) => this.#paths.delete(prefix));
  }
}
