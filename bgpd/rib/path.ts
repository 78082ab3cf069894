// A path: one attribute set as learnt from one source. Prefixes are not part of it, so thousands of prefixes share one.
//
// Paths and attribute sets are interned in a `PathTable`: equal means identical. A source is one incarnation of a session
// (or this node itself): when a peer comes back it is another source, which is how stale routes are told from fresh ones.
// Interned objects are held weakly; nothing has to be released.

import type { Address } from '../../lib/net/address.ts';
import { type Attributes, attributesKey, type RouterId } from './attributes.ts';

/** `local`: this node originates it. `ibgp` and `ebgp`: learnt from a peer of the own or of another AS. */
export type SourceKind = 'local' | 'ibgp' | 'ebgp';

/** Where paths come from. */
export interface PathSource {
  /** Name of the peer (one path of a prefix per name); `LOCAL_PEER` for this node. */
  readonly peer: string;
  readonly kind: SourceKind;
  /** A client of this reflector (RFC 4456 section 4). */
  readonly client?: boolean;
  readonly routerId: RouterId;
  readonly address: Address;
  /** The session ended and its routes are kept for a while (RFC 4724): whoever sets it has the RIB decide again. */
  stale: boolean;
}

export interface Path {
  /** Unique in its table; grows in order of first appearance and decides nothing. */
  readonly id: number;
  readonly source: PathSource;
  readonly attributes: Attributes;
}

/** Peer name of this node's own routes: not a possible node name. */
export const LOCAL_PEER = '';

/** Interns attribute sets and paths of one daemon. */
export class PathTable {
  readonly #attributes = new Map<string, WeakRef<Attributes>>();
  readonly #dead = new FinalizationRegistry<string>((key) => {
    if (this.#attributes.get(key)?.deref() === undefined) this.#attributes.delete(key);
  });
  readonly #paths = new WeakMap<PathSource, WeakMap<Attributes, Path>>();
  #nextId = 1;

  /** How many attribute sets are in use (or not yet collected). */
  get attributeSets(): number {
    return this.#attributes.size;
  }

  /** The one object of this content. */
  intern(attributes: Attributes): Attributes {
    const key = attributesKey(attributes);
    const known = this.#attributes.get(key)?.deref();
    if (known !== undefined) return known;
    const owned = Object.freeze({ ...attributes });
    this.#attributes.set(key, new WeakRef(owned));
    this.#dead.register(owned, key);
    return owned;
  }

  /** The one path of this source with these attributes, interned or not. */
  path(source: PathSource, attributes: Attributes): Path {
    let ofSource = this.#paths.get(source);
    if (ofSource === undefined) {
      ofSource = new WeakMap();
      this.#paths.set(source, ofSource);
    }
    const owned = this.intern(attributes);
    let path = ofSource.get(owned);
    if (path === undefined) {
      path = { id: this.#nextId++, source, attributes: owned };
      ofSource.set(owned, path);
    }
    return path;
  }
}
