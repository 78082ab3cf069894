// The peers of this node: one per registered node, made, replaced and removed as the registry says.
//
// An established session is never ended by the registry: a record that went or changed may be an etcd that lost it. The
// session ends by itself when the node really is gone or another, and only then the record decides.

import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import { type NodeRecord, sameNode } from './mesh/node-record.ts';
import type { Accept, Connection, ConnectionListener, Dialler } from './session/connection.ts';
import type { Open } from './session/message.ts';
import { type Notification, notification } from './session/notification.ts';
import { Peer, type PeerOwner } from './session/peer.ts';
import { SESSION_TIMES, type SessionTimes } from './session/session-state.ts';

export interface PeerSetOptions {
  /** What this node sends; its `node` is left out of the peers. */
  readonly open: Open;
  readonly dialler: Dialler;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the sessions of a peer are to be told to; called once per `Peer`. */
  readonly owner: (record: NodeRecord) => PeerOwner;
  /** A peer is no more: its session ended before. */
  readonly removed: (name: string) => void;
  readonly times?: SessionTimes;
}

export interface Member {
  /** With what its peer was made. */
  readonly record: NodeRecord;
  readonly peer: Peer;
}

interface OwnedMember extends Member {
  /** What the registry says; `undefined` where the node is gone from it. */
  wanted: NodeRecord | undefined;
}

export class PeerSet {
  readonly #options: PeerSetOptions;
  readonly #members = new Map<string, OwnedMember>();

  constructor(options: PeerSetOptions) {
    this.#options = options;
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#members;
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
    const member = this.#members.get(open.node);
    if (member === undefined) return notification('connectionRejected', `node ${open.node} is not registered`);
    // Its former life may still look established; the record is of the new one.
    if (this.#isOutdated(member)) this.#replace(open.node, member);
    return this.#members.get(open.node)?.peer.accept(open, connection) ?? notification('peerDeconfigured');
  };

  /** Follows the registry. */
  setNodes(nodes: ReadonlyMap<string, NodeRecord>): void {
    for (const [name, member] of [...this.#members]) {
      member.wanted = nodes.get(name);
      this.settle(name);
    }
    for (const [name, record] of nodes) {
      if (name !== this.#options.open.node && !this.#members.has(name)) this.#add(record);
    }
  }

  /** Brings a peer in line with the registry, if no session stands in the way: call it when one has ended. */
  settle(name: string): void {
    const member = this.#members.get(name);
    if (member !== undefined && !member.peer.established && this.#isOutdated(member)) this.#replace(name, member);
  }

  /** Something to send may have come up for any of them. */
  wake(hasUpdates: (name: string) => boolean): void {
    for (const [name, { peer }] of this.#members) if (peer.established && hasUpdates(name)) peer.wake();
  }

  /** Ends every session, telling each peer why. */
  stop(why: Notification): void {
    for (const { peer } of this.#members.values()) peer.stop(why);
  }

  #isOutdated({ record, wanted }: OwnedMember): boolean {
    return wanted === undefined || !sameNode(record, wanted);
  }

  #replace(name: string, { peer, wanted }: OwnedMember): void {
    this.#members.delete(name);
    peer.stop(notification(wanted === undefined ? 'peerDeconfigured' : 'otherConfigurationChange'));
    this.#options.removed(name);
    if (wanted !== undefined) this.#add(wanted);
  }

  #add(record: NodeRecord): void {
    const { open, dialler, clock, owner, times = SESSION_TIMES } = this.#options;
    const { name, address, port, asn, routerId } = record;
    const peer = new Peer({
      config: { open, peer: { node: name, asn, routerId }, times },
      endpoint: { address, port },
      dialler,
      clock,
      owner: owner(record),
      seed: Math.floor(Math.random() * 2 ** 32),
    });
    this.#members.set(name, { record, peer, wanted: record });
    peer.start();
  }
}
