// The peers of this node: one per registered node, made, replaced and removed as the registry says.
//
// An established session is never ended by the registry: a record that went or changed may be an etcd that lost it. The
// session ends by itself when the node really is gone or another, and only then the record decides.

import type { Address } from '../lib/net/address.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import type { NodeRecord } from './mesh/node-record.ts';
import type { PrefixLimit } from './prefix-limit.ts';
import type { Accept, Connection, ConnectionListener, Dialler } from './session/connection.ts';
import type { Open } from './session/message.ts';
import { type Notification, notification } from './session/notification.ts';
import { Peer, type PeerOwner } from './session/peer.ts';
import { SESSION_TIMES, type SessionTimes } from './session/session-state.ts';

/** A peer to hold a session with: a registered node, or one of the configuration. */
export interface PeerRecord extends Omit<NodeRecord, 'routerId'> {
  /** Absent: not checked. */
  readonly routerId?: NodeRecord['routerId'];
  readonly client?: boolean;
  /** Whose policies apply; absent: the default group's. */
  readonly group?: string;
  readonly prefixLimit?: PrefixLimit;
  /** It is not dialled: it came by itself, from a range. */
  readonly isPassive?: boolean;
}

export interface PeerSetOptions {
  /** What this node sends; its `node` is left out of the peers. */
  readonly open: Open;
  readonly dialler: Dialler;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the sessions of a peer are to be told to; called once per `Peer`. */
  readonly owner: (record: PeerRecord) => PeerOwner;
  /** Routes of a peer outlive its session: it is not forgotten yet. */
  readonly isKept?: (name: string) => boolean;
  /** The peer that an unknown node becomes that comes from this address; `undefined` refuses it. */
  readonly dynamic?: (open: Open, remote: Address, members: ReadonlyMap<string, Member>) => PeerRecord | undefined;
  /** A peer is no more: its session ended before. */
  readonly removed: (name: string) => void;
  readonly times?: SessionTimes;
  /** In [0, 1), for jitter; absent: `Math.random`. */
  readonly random?: () => number;
}

export interface Member {
  /** With what its peer was made. */
  readonly record: PeerRecord;
  readonly peer: Peer;
}

interface OwnedMember extends Member {
  /** What the registry says; `undefined` where the node is gone from it. */
  wanted: PeerRecord | undefined;
  cancelRestart: () => void;
}

export class PeerSet {
  readonly #options: PeerSetOptions;
  readonly #members = new Map<string, OwnedMember>();
  /** Peers that an operator took out of service, by name, and what they are told. They stay so when they are made anew. */
  readonly #disabled = new Map<string, Notification>();
  #open: Open;

  constructor(options: PeerSetOptions) {
    this.#options = options;
    this.#open = options.open;
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#members;
  }

  /**
   * Whether a peer runs BFD: by the record with which its peer was made, or by a later one of the same address. A node that
   * restarts with BFD may be back before its record is.
   */
  offersBfd(name: string): boolean {
    const { record, wanted } = this.#members.get(name) ?? {};
    return record?.bfd === true || (wanted?.bfd === true && wanted.address === record?.address);
  }

  /** Takes connections for `openExchange`. */
  readonly accept: Accept = (open: Open, connection: Connection): ConnectionListener | Notification => {
    if (open.node === this.#options.open.node) {
      this.#options.log.error(
        { node: open.node, routerId: open.routerId },
        'another node has the name of this one: refused',
      );
      return notification('connectionRejected', `the name ${open.node} is that of this node`);
    }
    const { certifiedNames } = connection;
    if (certifiedNames !== undefined && !certifiedNames.includes(open.node)) {
      const why = `the certificate is for ${certifiedNames.join(', ') || 'no node'}, not for ${open.node}`;
      this.#options.log.error(
        { node: open.node, certifiedNames },
        'a peer has the certificate of another node: refused',
      );
      return notification('connectionRejected', why);
    }
    const disabled = this.#disabled.get(open.node);
    if (disabled !== undefined) return disabled;
    const member = this.#members.get(open.node);
    // Its former life may still look established; the record is of the new one.
    if (member !== undefined && this.#isOutdated(member)) this.#replace(open.node, member);
    if (!this.#members.has(open.node)) {
      const { remote } = connection;
      const record = remote && this.#options.dynamic?.(open, remote, this.#members);
      if (record === undefined) return notification('connectionRejected', `node ${open.node} is not registered`);
      this.#add(record, undefined);
    }
    return this.#members.get(open.node)?.peer.accept(open, connection) ?? notification('peerDeconfigured');
  };

  /** Follows the registry. */
  setNodes(nodes: ReadonlyMap<string, PeerRecord>): void {
    for (const [name, member] of [...this.#members]) {
      member.wanted = nodes.get(name);
      this.settle(name);
    }
    for (const [name, record] of nodes) {
      if (name !== this.#options.open.node && !this.#members.has(name)) this.#add(record, record);
    }
  }

  /** Brings a peer in line with the registry, if no session stands in the way: call it when one has ended. */
  settle(name: string): void {
    const member = this.#members.get(name);
    if (member === undefined || member.peer.established || !this.#isOutdated(member)) return;
    if (member.wanted === undefined && this.#options.isKept?.(name) === true) return;
    // One that came from a range would be forgotten, and nobody could enable it again.
    if (member.wanted === undefined && member.record.isPassive === true && this.#disabled.has(name)) return;
    this.#replace(name, member);
  }

  /** What to say from the next OPEN on. */
  setOpen(open: Open): void {
    this.#open = open;
    for (const { peer } of this.#members.values()) peer.setOpen(open);
  }

  /** Brings peers in line with what was configured, also where a session stands. */
  enforce(names: Iterable<string>): void {
    for (const name of names) {
      const member = this.#members.get(name);
      if (member !== undefined && this.#isOutdated(member)) this.#replace(name, member);
    }
  }

  /** Ends a session and begins anew after a while. */
  restart(name: string, why: Notification, afterMs: number): void {
    const member = this.#members.get(name);
    if (member === undefined) return;
    member.cancelRestart();
    member.peer.stop(why);
    member.cancelRestart = this.#options.clock.after(afterMs, () => member.peer.start());
  }

  /** Takes a peer out of service until `enable`: its session ends with `why`, and so does every attempt of the peer. */
  disable(name: string, why: Notification): void {
    const member = this.#members.get(name);
    if (member === undefined) return;
    this.#disabled.set(name, why);
    member.cancelRestart();
    member.peer.stop(why);
  }

  /** Takes a peer back into service: it is dialled at once. */
  enable(name: string): void {
    this.#disabled.delete(name);
    this.settle(name);
    this.#members.get(name)?.peer.start();
  }

  /** Whether an operator took it out of service. */
  isDisabled(name: string): boolean {
    return this.#disabled.has(name);
  }

  /** Something to send may have come up for any of them. Gives for how many it has. */
  wake(hasUpdates: (name: string) => boolean): number {
    let woken = 0;
    for (const [name, { peer }] of this.#members) {
      if (!peer.established || !hasUpdates(name)) continue;
      peer.wake();
      woken++;
    }
    return woken;
  }

  /** Ends every session, telling each peer why. */
  stop(why: Notification): void {
    for (const { peer, cancelRestart } of this.#members.values()) {
      cancelRestart();
      peer.stop(why);
    }
  }

  #isOutdated({ record, wanted }: OwnedMember): boolean {
    return wanted === undefined || JSON.stringify(record) !== JSON.stringify(wanted);
  }

  #replace(name: string, { peer, wanted, cancelRestart }: OwnedMember): void {
    this.#members.delete(name);
    cancelRestart();
    peer.stop(notification(wanted === undefined ? 'peerDeconfigured' : 'otherConfigurationChange'));
    this.#options.removed(name);
    if (wanted !== undefined) this.#add(wanted, wanted);
  }

  #add(record: PeerRecord, wanted: PeerRecord | undefined): void {
    const { dialler, clock, owner, times = SESSION_TIMES, random = Math.random } = this.#options;
    const { name, address, port, asn, routerId, isPassive = false } = record;
    const expected = { node: name, asn, ...(routerId !== undefined && { routerId }) };
    const peer = new Peer({
      config: { open: this.#open, peer: expected, times, isPassive },
      endpoint: { address, port, node: name },
      dialler,
      clock,
      owner: owner(record),
      seed: Math.floor(random() * 2 ** 32),
    });
    this.#members.set(name, { record, peer, wanted, cancelRestart: () => undefined });
    if (!this.#disabled.has(name)) peer.start();
  }
}
