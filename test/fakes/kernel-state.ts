// The state of the fake kernel: links, addresses, neighbours and FDB entries, keyed as the kernel keys them, and what
// happens to the rest when a link goes down or away. Routes and nexthop objects: kernel-routes.ts.
//
// Every rule here was seen on a real kernel (Linux 6.18), and the contract suite holds both to it. Not modelled: the local
// table (255), link-local addresses, the copies of routes that IPv6 keeps, duplicate address detection.

import type {
  FdbEntry,
  KernelEvent,
  Link,
  LinkAddress,
  LinkSpec,
  Neighbour,
  Rule,
  VethPeer,
  VxlanLink,
} from '../../lib/kernel/kernel.ts';
import { familyOf } from '../../lib/net/address.ts';
import { localMac, type Mac, mac } from '../../lib/net/mac.ts';
import { prefixOf } from '../../lib/net/prefix.ts';
import { KernelRoutes, type Refusal } from './kernel-routes.ts';

const NAME_MAX_BYTES = 15;

export class KernelState {
  readonly links = new Map<number, Link>();
  readonly addresses = new Map<string, LinkAddress>();
  /** Without those that every kernel begins with (to the tables local, main and default). */
  readonly rules = new Map<string, Rule>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly fdb = new Map<string, FdbEntry>();
  readonly routes: KernelRoutes;
  readonly #emit: (event: KernelEvent) => void;
  /** Both ways, by index. An end in another namespace is not held. */
  readonly #vethPeers = new Map<number, number>();
  #lastIndex = 0;

  constructor(emit: (event: KernelEvent) => void) {
    this.#emit = emit;
    this.routes = new KernelRoutes(this.links, this.addresses, emit);
    this.addLink({ name: 'lo', mac: mac('00:00:00:00:00:00'), mtuBytes: 65_536, up: true });
  }

  linkNamed(name: string): Link | undefined {
    return [...this.links.values()].find((link) => link.name === name);
  }

  /** A device that was not made through rtnetlink, such as a network card. */
  addLink(properties: Pick<Link, 'name'> & Partial<Link>): Link {
    const index = properties.index ?? this.#lastIndex + 1;
    this.#lastIndex = Math.max(this.#lastIndex, index);
    const up = properties.up ?? false;
    const link: Link = { mac: macOf(index), mtuBytes: 1500, running: up, ...properties, up, index };
    this.links.set(index, link);
    this.#emit({ type: 'put', kind: 'link', object: link });
    return link;
  }

  putLink(spec: LinkSpec): Refusal {
    const existing = this.linkNamed(spec.name);
    if (existing === undefined && spec.create === undefined) return { code: 'ENODEV' };
    if (new TextEncoder().encode(spec.name).length > NAME_MAX_BYTES) return { code: 'ERANGE' };
    if (existing === undefined && spec.create?.type === 'vxlan' && this.#hasVxlan(spec.create.vxlan)) {
      return { code: 'EEXIST', message: 'A VXLAN device with the specified VNI already exists' };
    }
    const link = existing ?? this.addLink(createdLink(spec));
    if (existing === undefined && spec.create?.type === 'veth') this.#addPeer(link, spec.create.peer, spec.mtuBytes);
    const changed: Link = {
      ...link,
      ...(spec.mac !== undefined && { mac: spec.mac }),
      ...(spec.mtuBytes !== undefined && { mtuBytes: spec.mtuBytes }),
      ...(spec.alias !== undefined && { alias: spec.alias }),
      ...(spec.up !== undefined && { up: spec.up, running: spec.up }),
      ...(spec.masterIndex !== undefined && { masterIndex: spec.masterIndex }),
    };
    this.links.set(link.index, changed);
    this.#emit({ type: 'put', kind: 'link', object: changed });
    if (changed.up && !link.up) for (const address of this.#addressesOf(link.index)) this.routes.addConnected(address);
    if (!changed.up && link.up) this.#linkDown(changed);
    return undefined;
  }

  deleteLink(name: string): Refusal {
    const link = this.linkNamed(name);
    if (link === undefined) return { code: 'ENODEV' };
    const down = { ...link, up: false, running: false };
    this.links.set(link.index, down);
    this.#linkDown(down);
    this.links.delete(link.index);
    for (const address of this.#addressesOf(link.index)) this.deleteAddress(address);
    for (const entry of [...this.fdb.values()]) if (entry.linkIndex === link.index) this.deleteFdb(entry);
    this.routes.linkGone(link.index);
    this.#emit({ type: 'delete', kind: 'link', object: down });
    const peer = this.links.get(this.#vethPeers.get(link.index) ?? 0);
    this.#vethPeers.delete(link.index);
    return peer === undefined ? undefined : this.deleteLink(peer.name);
  }

  putAddress(address: LinkAddress): Refusal {
    const link = this.links.get(address.linkIndex);
    if (link === undefined) return { code: 'ENODEV', message: 'ipv4: Device not found' };
    if (this.addresses.has(addressKey(address))) return undefined;
    const same = this.#addressesOf(address.linkIndex).some((own) => own.address === address.address);
    if (same && familyOf(address.address) === 6) return { code: 'EEXIST', message: 'ipv6: address already assigned.' };
    this.addresses.set(addressKey(address), address);
    this.#emit({ type: 'put', kind: 'address', object: address });
    if (link.up) this.routes.addConnected(address);
    return undefined;
  }

  deleteAddress(address: LinkAddress): Refusal {
    if (!this.addresses.delete(addressKey(address))) return { code: 'EADDRNOTAVAIL' };
    this.#emit({ type: 'delete', kind: 'address', object: address });
    this.routes.addressGone(address);
    return undefined;
  }

  putRule(rule: Rule): Refusal {
    const same = [...this.rules.values()].some(
      ({ family, priority, table }) => family === rule.family && priority === rule.priority && table === rule.table,
    );
    if (same) return { code: 'EEXIST' };
    this.rules.set(ruleKey(rule), rule);
    this.#emit({ type: 'put', kind: 'rule', object: rule });
    return undefined;
  }

  deleteRule(rule: Rule): Refusal {
    if (!this.rules.delete(ruleKey(rule))) return { code: 'ENOENT' };
    this.#emit({ type: 'delete', kind: 'rule', object: rule });
    return undefined;
  }

  putNeighbour(neighbour: Neighbour): Refusal {
    if (!this.links.has(neighbour.linkIndex)) return { code: 'ENODEV' };
    // Who gives no mark leaves the one that is there.
    const { protocol } = this.neighbours.get(neighbourKey(neighbour)) ?? {};
    const marked = protocol === undefined ? neighbour : { protocol, ...neighbour };
    this.neighbours.set(neighbourKey(neighbour), marked);
    this.#emit({ type: 'put', kind: 'neighbour', object: marked });
    return undefined;
  }

  deleteNeighbour(neighbour: Pick<Neighbour, 'linkIndex' | 'address'>): Refusal {
    const known = this.neighbours.get(neighbourKey(neighbour));
    if (known === undefined) return { code: 'ENOENT' };
    this.neighbours.delete(neighbourKey(neighbour));
    this.#emit({ type: 'delete', kind: 'neighbour', object: known });
    return undefined;
  }

  putFdb(entry: FdbEntry): Refusal {
    const link = this.links.get(entry.linkIndex);
    if (link === undefined) return { code: 'ENODEV', message: 'unknown ifindex' };
    if (link.type !== 'vxlan') return { code: 'EOPNOTSUPP' };
    this.fdb.set(fdbKey(entry), entry);
    this.#emit({ type: 'put', kind: 'fdb', object: entry });
    return undefined;
  }

  deleteFdb(entry: FdbEntry): Refusal {
    const known = this.fdb.get(fdbKey(entry));
    if (known === undefined) return { code: 'ENOENT' };
    this.fdb.delete(fdbKey(entry));
    this.#emit({ type: 'delete', kind: 'fdb', object: known });
    return undefined;
  }

  #addPeer(link: Link, { name, mac: peerMac, namespaceFd }: VethPeer, mtuBytes: number | undefined): void {
    if (namespaceFd !== undefined) return;
    const properties = { ...(peerMac && { mac: peerMac }), ...(mtuBytes !== undefined && { mtuBytes }) };
    const peer = this.addLink({ name, type: 'veth', ...properties });
    this.#vethPeers.set(link.index, peer.index);
    this.#vethPeers.set(peer.index, link.index);
  }

  /** Neighbours and IPv6 addresses go; IPv4 addresses and FDB entries stay. */
  #linkDown(link: Link): void {
    for (const neighbour of [...this.neighbours.values()]) {
      if (neighbour.linkIndex === link.index) this.deleteNeighbour(neighbour);
    }
    this.routes.linkDown(link.index);
    for (const address of this.#addressesOf(link.index)) {
      if (familyOf(address.address) === 6) this.deleteAddress(address);
    }
  }

  #addressesOf(linkIndex: number): LinkAddress[] {
    return [...this.addresses.values()].filter((address) => address.linkIndex === linkIndex);
  }

  #hasVxlan({ vni, port }: VxlanLink): boolean {
    return [...this.links.values()].some(({ vxlan }) => vxlan?.vni === vni && vxlan.port === port);
  }
}

function createdLink({ name, create }: LinkSpec): Pick<Link, 'name'> & Partial<Link> {
  if (create?.type === 'vxlan') return { name, type: 'vxlan', vxlan: create.vxlan };
  if (create?.type === 'ipip') return { name, type: 'ipip', ipip: create.ipip };
  return { name, type: create?.type ?? 'bridge' };
}

/** A MAC that differs for each link, where the real kernel rolls dice. */
function macOf(index: number): Mac {
  return localMac(Uint8Array.of(0, 0xfa, 0xce, 0, index >> 8, index & 0xff));
}

function addressKey({ linkIndex, address, prefixLength, peer }: LinkAddress): string {
  return `${linkIndex} ${address}/${prefixLength} ${prefixOf(peer ?? address, prefixLength)}`;
}

function ruleKey({ family, priority, table, protocol }: Rule): string {
  return `${family} ${priority} ${table} ${protocol}`;
}

function neighbourKey({ linkIndex, address }: Pick<Neighbour, 'linkIndex' | 'address'>): string {
  return `${linkIndex} ${address}`;
}

/** A unicast MAC has one destination; all zeros and group MACs have any number. */
function fdbKey({ linkIndex, mac: entryMac, destination }: FdbEntry): string {
  const many = entryMac === '00:00:00:00:00:00' || (Number.parseInt(entryMac.slice(1, 2), 16) & 1) === 1;
  return many ? `${linkIndex} ${entryMac} ${destination}` : `${linkIndex} ${entryMac}`;
}
