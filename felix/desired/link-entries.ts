// What interfaces of this node should have besides routes: permanent neighbours and addresses, from the attachments in the
// feed's groups. Pure. Not who has written what is there, nor when it can be written (dataplane/link-entry-table.ts).
//
// The kernel's keys: a neighbour is one address on one link; an IPv4 address is local address, prefix length and the other
// end's network on one link; an IPv6 address is one address on one link, whatever its prefix length.
//
// The confusing thing: the feed names interfaces, the kernel counts them. A name that stands for no link now has no key
// either: what is wanted of it waits.

import { type LinkAddress, type Neighbour, PROTOCOL_GINGHAM } from '../../lib/kernel/kernel.ts';
import { ADDRESS_LENGTH, type Address, familyOf } from '../../lib/net/address.ts';
import { prefixOf } from '../../lib/net/prefix.ts';
import type { LinkTable } from './link-table.ts';
import type { WantedRoutes } from './merged-feeds.ts';

/** An object on one link. */
export type LinkEntry = Neighbour | LinkAddress;

/** What is wanted of one kind, by the kernel's key; and how much waits for an interface. */
export interface WantedEntries<V extends LinkEntry> {
  readonly entries: ReadonlyMap<string, V>;
  readonly waiting: number;
}

export interface WantedOnLinks {
  readonly neighbours: WantedEntries<Neighbour>;
  readonly addresses: WantedEntries<LinkAddress>;
}

/** Which groups have an attachment, and what all of them want. */
export class LinkEntries {
  readonly #view: WantedRoutes;
  readonly #links: LinkTable;
  readonly #groups = new Set<number>();
  readonly #devices = new Set<string>();
  #dirty = true;

  constructor(view: WantedRoutes, links: LinkTable) {
    this.#view = view;
    this.#links = links;
  }

  /** The feed changed these groups. */
  groupsChanged(groups: readonly number[]): void {
    for (const id of groups) {
      const isAttached = this.#view.groups.get(id)?.attachment !== undefined;
      const wasAttached = isAttached ? this.#groups.has(id) : this.#groups.delete(id);
      if (isAttached) this.#groups.add(id);
      this.#dirty ||= isAttached || wasAttached;
    }
  }

  /** Links came, went or were renamed; gives whether that touches anything here. */
  linksChanged(names: readonly string[]): boolean {
    const touched = names.some((name) => this.#devices.has(name));
    this.#dirty ||= touched;
    return touched;
  }

  /** What is wanted now; `undefined` where that is as before. */
  settle(): WantedOnLinks | undefined {
    if (!this.#dirty) return undefined;
    this.#dirty = false;
    this.#devices.clear();
    const neighbours = new Map<string, Neighbour>();
    const addresses = new Map<string, LinkAddress>();
    const waiting = { neighbours: 0, addresses: 0 };
    for (const id of this.#groups) {
      const attachment = this.#view.groups.get(id)?.attachment;
      if (attachment === undefined) continue;
      this.#devices.add(attachment.device);
      const linkIndex = this.#links.get(attachment.device)?.index;
      if (linkIndex === undefined) {
        waiting.neighbours += attachment.neighbours.length;
        waiting.addresses += attachment.addresses.length;
        continue;
      }
      for (const { address, mac } of attachment.neighbours) {
        const neighbour = { linkIndex, address, mac, protocol: PROTOCOL_GINGHAM };
        neighbours.set(neighbourKey(neighbour), neighbour);
      }
      for (const address of attachment.addresses) {
        const own = gatewayAddress(linkIndex, address);
        addresses.set(addressKey(own), own);
      }
    }
    return {
      neighbours: { entries: neighbours, waiting: waiting.neighbours },
      addresses: { entries: addresses, waiting: waiting.addresses },
    };
  }
}

export function neighbourKey({ linkIndex, address }: Neighbour): string {
  return `${linkIndex} ${address}`;
}

export function sameNeighbour(a: Neighbour, b: Neighbour): boolean {
  return a.mac === b.mac;
}

export function addressKey({ linkIndex, address, prefixLength, peer }: LinkAddress): string {
  if (familyOf(address) === 6) return `${linkIndex} ${address}`;
  return `${linkIndex} ${address} ${prefixOf(peer ?? address, prefixLength)}`;
}

/** What the key leaves open. */
export function sameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return a.prefixLength === b.prefixLength && a.peer === b.peer;
}

/** Alone in its subnet, and of scope `host`: the node answers for it and never takes it as a source. */
function gatewayAddress(linkIndex: number, address: Address): LinkAddress {
  const family = familyOf(address);
  const prefixLength = ADDRESS_LENGTH[family] * 8;
  return { linkIndex, address, prefixLength, ...(family === 4 && { scope: 'host' }), protocol: PROTOCOL_GINGHAM };
}
