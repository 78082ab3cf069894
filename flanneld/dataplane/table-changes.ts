// Changes of the forwarding table as numbers, so that the thread that forwards takes them without making an object.
//
// Written here by the thread that commands, read by forwarding-table.ts. Several changes stand one behind the other in one
// array. Nodes have names here and numbers there: slots, counted from 1, of which a freed one is used again.

import { type Address, addressBytes, type Family, familyOf } from '../../lib/net/address.ts';
import { type Mac, macBytes } from '../../lib/net/mac.ts';
import { type Prefix, prefixAddress, prefixFamily, prefixLength } from '../../lib/net/prefix.ts';
import { readI32, readU16 } from '../../lib/wire/bytes.ts';
import type { PlanePeer, PlaneRoute } from './data-plane.ts';

/** The first word of a change. */
export const CHANGE = { setPeer: 1, removePeer: 2, setRoute: 3 } as const;
/** `setPeer`: where things are, in words; then its prefixes. No MAC address: its high half is -1. */
export const PEER_WORDS = {
  ...{ slot: 1, family: 2, address: 3, port: 7, macHigh: 8, macLow: 9, prefixCount: 10, prefixes: 11 },
} as const;
/** `removePeer`. */
export const REMOVE_WORDS = { slot: 1, length: 2 } as const;
/** `setRoute`: where things are; then its endpoints. */
export const ROUTE_WORDS = { family: 1, prefixLength: 2, address: 3, endpointCount: 7, endpoints: 8 } as const;
/** One of the prefixes of a peer. */
export const PREFIX_WORDS = { family: 0, prefixLength: 1, address: 2, length: 6 } as const;
/** One of the endpoints of a route. */
export const ENDPOINT_WORDS = { family: 0, address: 1, length: 5 } as const;

export class TableChanges {
  readonly #slots = new Map<string, number>();
  readonly #free: number[] = [];

  /** Adds the peer or replaces the one with its name. */
  setPeer({ node, endpoint, port, mac, subnets }: PlanePeer): readonly number[] {
    let slot = this.#slots.get(node);
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#slots.size + 1;
      this.#slots.set(node, slot);
    }
    const bytes = mac === undefined ? undefined : macBytes(mac as Mac);
    const prefixes = [...new Set(subnets)];
    return [
      CHANGE.setPeer,
      slot,
      ...endpointWords(endpoint),
      port,
      bytes === undefined ? -1 : readU16(bytes, 0),
      bytes === undefined ? 0 : readI32(bytes, 2),
      prefixes.length,
      ...prefixes.flatMap(prefixWords),
    ];
  }

  /** Removes the peer of this name; of an unknown one is nothing. */
  removePeer(node: string): readonly number[] {
    const slot = this.#slots.get(node);
    if (slot === undefined) return [];
    this.#slots.delete(node);
    this.#free.push(slot);
    return [CHANGE.removePeer, slot];
  }

  /** Adds, replaces or withdraws one route. */
  setRoute({ prefix, endpoints }: PlaneRoute): readonly number[] {
    const distinct = [...new Set(endpoints)];
    return [CHANGE.setRoute, ...prefixWords(prefix), distinct.length, ...distinct.flatMap(endpointWords)];
  }
}

/** See `PREFIX_WORDS`. */
export function prefixWords(value: Prefix): number[] {
  return [prefixFamily(value), prefixLength(value), ...addressWords(prefixAddress(value))];
}

function endpointWords(value: Address): [Family, ...number[]] {
  return [familyOf(value), ...addressWords(value)];
}

/** Four of them; of IPv4 the first one counts. */
function addressWords(value: Address): number[] {
  const bytes = addressBytes(value);
  return [0, 4, 8, 12].map((at) => (at < bytes.length ? readI32(bytes, at) : 0));
}
