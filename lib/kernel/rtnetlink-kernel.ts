// The real `Kernel`: rtnetlink, in the network namespace of the thread that makes the first call.
//
// Writes and listings have a socket each, so that an urgent write does not wait for the end of a long listing. Both are
// cut into slices of a few milliseconds, between which the event loop runs: two calls of `apply` at the same time
// interleave, and only within one call is the order kept. Sockets are opened when first needed, and again after a failure.

import { type Address, type Family, familyOf } from '../net/address.ts';
import type { Logger } from '../run/log.ts';
import type { NetlinkAck } from '../wire/netlink.ts';
import { isNetlinkError } from '../wire/netlink-attributes.ts';
import {
  decodeLink,
  encodeChangeLink,
  encodeCreateLink,
  encodeDeleteLink,
  encodeGetLink,
  encodeHairpin,
} from '../wire/rtnetlink-links.ts';
import { decodeNexthop, encodeGetNexthop } from '../wire/rtnetlink-nexthops.ts';
import { decodeRoute, encodeRouteTo } from '../wire/rtnetlink-routes.ts';
import { errnoName, errnoNumber, permissionText } from './errno.ts';
import {
  type Kernel,
  type KernelChange,
  KernelError,
  type KernelEvent,
  type KernelFailure,
  type KernelKind,
  type KernelObjects,
  type Link,
  type LinkSpec,
  type ListFilter,
} from './kernel.ts';
import { KernelEvents } from './kernel-events.ts';
import { KernelListings } from './kernel-listings.ts';
import {
  type DecodedObject,
  describeChange,
  type EncodeList,
  encodeChange,
  invalidValue,
  isAlreadySo,
} from './kernel-requests.ts';
import { type MessageVisitor, NetlinkSocket } from './netlink-socket.ts';
import { NexthopFamilies } from './nexthop-families.ts';
import { ownRouteFilter } from './own-route-filter.ts';
import { slices } from './slices.ts';

/** Messages in one send: 1 to 2 ms of the kernel's time, during which the event loop waits. 100 to 4,000 are equally fast. */
const BATCH_MESSAGES = 400;

type LinkChange = Extract<KernelChange, { readonly kind: 'link' }>;

export interface KernelOptions {
  /** Subscribers hear nothing of the routes that this handle writes: see `Kernel.mutesOwnRoutes`. */
  readonly mutesOwnRoutes?: boolean;
}

/** The kernel of this machine. Opens nothing yet; `close` it when done. The log hears what callers are not told. */
export function openKernel(log?: Logger, { mutesOwnRoutes = false }: KernelOptions = {}): Kernel {
  return new RtnetlinkKernel(log, mutesOwnRoutes);
}

class RtnetlinkKernel implements Kernel {
  readonly mutesOwnRoutes: boolean;
  readonly #events: KernelEvents;
  readonly #listings: KernelListings;
  readonly #nexthopFamilies = new NexthopFamilies((id) => this.#lookUpFamily(id));
  #socket: NetlinkSocket | undefined;
  #closed = false;

  constructor(log: Logger | undefined, mutesOwnRoutes: boolean) {
    this.mutesOwnRoutes = mutesOwnRoutes;
    this.#listings = new KernelListings(log);
    this.#events = new KernelEvents(
      (decoded) => this.#eventOf(decoded),
      (error) => log?.warn({ err: error }, 'notifications of the kernel failed; listening again'),
      () => (mutesOwnRoutes ? this.#withSocket(({ port }) => ownRouteFilter(port)) : undefined),
    );
  }

  async list<K extends KernelKind>(kind: K, filter: ListFilter = {}): Promise<KernelObjects[K][]> {
    if (kind === 'link' && filter.linkName !== undefined) return this.#linkNamed(filter.linkName) as KernelObjects[K][];
    if (kind !== 'nexthop')
      return (await this.#listings.list(kind, filter)) as KernelObjects[KernelKind][] as KernelObjects[K][];
    const found = await this.#listings.list('nexthop', filter);
    // Single hops first: groups take their family from them.
    for (const nexthop of found) this.#nexthopFamilies.learn(nexthop);
    const nexthops = found.map((nexthop) => this.#nexthopFamilies.complete(nexthop));
    const wanted = nexthops.filter(({ family }) => filter.family === undefined || family === filter.family);
    return wanted as KernelObjects[KernelKind][] as KernelObjects[K][];
  }

  async apply(changes: readonly KernelChange[]): Promise<readonly (KernelFailure | undefined)[]> {
    const failures: (KernelFailure | undefined)[] = new Array(changes.length).fill(undefined);
    const giveWay = slices();
    for (let at = 0; at < changes.length; await giveWay()) at = this.#applySome(changes, at, failures);
    if (failures.some((failure) => failure?.code === 'EEXIST')) await this.#forgiveExistingAddresses(changes, failures);
    return failures;
  }

  async subscribe(kinds: readonly KernelKind[], listener: (event: KernelEvent) => void): Promise<() => void> {
    this.#assertOpen();
    return this.#events.subscribe(kinds, listener);
  }

  async routeTo(
    address: Address,
  ): Promise<{ readonly linkIndex: number; readonly gateway?: Address; readonly source?: Address } | undefined> {
    let found: ReturnType<typeof decodeRoute>;
    const ack = this.#request(
      (writer, sequence) => encodeRouteTo(writer, sequence, address, familyOf(address)),
      (bytes, message) => {
        found = decodeRoute(bytes, message, true);
      },
    );
    // A refusal is how the kernel says "none": unreachable, prohibited, thrown back.
    if (ack !== undefined || found === undefined || isNetlinkError(found)) return undefined;
    const { linkIndex, gateway } = found.nextHops[0] ?? {};
    if (linkIndex === undefined) return undefined;
    const { source } = found;
    return { linkIndex, ...(gateway && { gateway }), ...(source && { source }) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#events.close();
    this.#closeSocket();
    await this.#listings.close();
  }

  /** Applies as many changes as one send holds, from `from` on; the index of the first one left. */
  #applySome(changes: readonly KernelChange[], from: number, failures: (KernelFailure | undefined)[]): number {
    const head = changes[from] as KernelChange;
    const invalid = invalidValue(head);
    if (invalid !== undefined) {
      failures[from] = failureOf(head, { errno: errnoNumber('EINVAL'), message: invalid });
      return from + 1;
    }
    if (head.kind === 'link') {
      failures[from] = this.#applyLink(head);
      return from + 1;
    }
    return this.#withSocket((socket) => {
      const first = socket.reset();
      let to = from;
      let lastStart = 0;
      for (; to < changes.length && to - from < BATCH_MESSAGES; to++) {
        const change = changes[to] as KernelChange;
        if (change.kind === 'link' || (to > from && invalidValue(change) !== undefined)) break;
        const start = socket.writer.length;
        if (!encodeChange(socket.writer, first + to - from, change)) break;
        lastStart = start;
      }
      if (to === from) {
        failures[from] = failureOf(head, { errno: errnoNumber('EMSGSIZE') });
        return from + 1;
      }
      const acks = socket.exchange(to - from, lastStart);
      for (let at = from; at < to; at++) {
        const ack = acks[at - from];
        if (ack !== undefined) failures[at] = this.#judge(changes[at] as KernelChange, ack);
      }
      return to;
    });
  }

  /**
   * EEXIST for an IPv6 address says only that the link has the address, with whatever prefix length. Where that is the
   * one that was asked for, nothing has failed.
   */
  async #forgiveExistingAddresses(
    changes: readonly KernelChange[],
    failures: (KernelFailure | undefined)[],
  ): Promise<void> {
    for (const [index, failure] of failures.entries()) {
      const change = changes[index];
      if (failure?.code !== 'EEXIST' || change?.kind !== 'address') continue;
      const { linkIndex, address, prefixLength } = change.address;
      const existing = await this.list('address', { linkIndex, family: 6 });
      if (existing.some((own) => own.address === address && own.prefixLength === prefixLength)) {
        failures[index] = undefined;
      }
    }
  }

  #applyLink(change: LinkChange): KernelFailure | undefined {
    if (change.op === 'delete') {
      return this.#judge(
        change,
        this.#request((writer, sequence) => encodeDeleteLink(writer, sequence, change.name)),
      );
    }
    let spec: LinkSpec = change.link;
    const { create } = spec;
    let made: NetlinkAck | undefined;
    if (create !== undefined) {
      made = this.#request((writer, sequence) => encodeCreateLink(writer, sequence, spec, create));
      if (made !== undefined && errnoName(made.errno) !== 'EEXIST') return failureOf(change, made);
      if (made === undefined) {
        // The new link has its MAC and MTU already.
        const { mac: _mac, mtuBytes: _mtuBytes, ...rest } = spec;
        spec = rest;
      }
    }
    const changed = this.#request((writer, sequence) => encodeChangeLink(writer, sequence, spec));
    if (changed === undefined && spec.hairpin !== undefined) {
      const { name, hairpin } = spec;
      return this.#judge(
        change,
        this.#request((writer, sequence) => encodeHairpin(writer, sequence, name, hairpin)),
      );
    }
    // Not this name exists, but another device with the same VNI and port.
    const elsewhere = made !== undefined && changed !== undefined && errnoName(changed.errno) === 'ENODEV';
    return this.#judge(change, elsewhere ? made : changed);
  }

  #linkNamed(name: string): readonly Link[] {
    const found: Link[] = [];
    const ack = this.#request(
      (writer, sequence) => encodeGetLink(writer, sequence, name),
      (bytes, message) => {
        const link = decodeLink(bytes, message);
        if (link !== undefined && !isNetlinkError(link)) found.push(link);
      },
    );
    const code = ack === undefined ? undefined : errnoName(ack.errno);
    if (code === undefined || code === 'ENODEV') return found;
    throw new KernelError('unsupported', `looking up link ${name}: ${ack?.message ?? code}`);
  }

  #judge(change: KernelChange, ack: NetlinkAck | undefined): KernelFailure | undefined {
    if (ack === undefined || isAlreadySo(change, errnoName(ack.errno))) return undefined;
    return failureOf(change, ack);
  }

  /** One request and its result, at once. */
  #request(encode: EncodeList, onReply?: MessageVisitor): NetlinkAck | undefined {
    return this.#withSocket((socket) => {
      const sequence = socket.reset();
      if (!encode(socket.writer, sequence)) return { errno: errnoNumber('EMSGSIZE') };
      return socket.exchange(1, 0, onReply)[0];
    });
  }

  /** Runs `use` with the socket for requests; a failure of the socket closes it, and the next call opens another. */
  #withSocket<T>(use: (socket: NetlinkSocket) => T): T {
    this.#assertOpen();
    if (this.#socket === undefined) {
      this.#socket = new NetlinkSocket();
      // Another socket, another port.
      if (this.mutesOwnRoutes) this.#events.renewFilter();
    }
    try {
      return use(this.#socket);
    } catch (error) {
      this.#closeSocket();
      throw error;
    }
  }

  #closeSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #assertOpen(): void {
    if (this.#closed) throw new KernelError('socket', 'the kernel handle is closed');
  }

  #eventOf(decoded: DecodedObject): KernelEvent {
    const type = decoded.gone ? 'delete' : 'put';
    switch (decoded.kind) {
      case 'link':
        return { type, kind: 'link', object: decoded.object };
      case 'address':
        return { type, kind: 'address', object: decoded.object };
      case 'route':
        return { type, kind: 'route', object: decoded.object };
      case 'rule':
        return { type, kind: 'rule', object: decoded.object };
      case 'neighbour':
        return { type, kind: 'neighbour', object: decoded.object };
      case 'fdb':
        return { type, kind: 'fdb', object: decoded.object };
      case 'nexthop': {
        const object = this.#nexthopFamilies.complete(decoded.object);
        if (decoded.gone) this.#nexthopFamilies.forget(object.id);
        return { type, kind: 'nexthop', object };
      }
    }
  }

  #lookUpFamily(id: number): Family | undefined {
    let family: Family | undefined;
    this.#request(
      (writer, sequence) => encodeGetNexthop(writer, sequence, id),
      (bytes, message) => {
        const nexthop = decodeNexthop(bytes, message);
        if (!isNetlinkError(nexthop)) family = nexthop.family;
      },
    );
    return family;
  }
}

function failureOf(change: KernelChange, { errno, message }: NetlinkAck): KernelFailure {
  const code = errnoName(errno);
  const text = permissionText(code) ?? message;
  return { code, errno, what: describeChange(change), ...(text !== undefined && { message: text }) };
}
