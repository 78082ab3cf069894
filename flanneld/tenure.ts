// A node's hold on its subnet from the first lease to the last: what follows when lease, underlay or config change.
//
//   lease holder --- conflict ---> announce nothing, drain ---> end, or another subnet (--on-conflict)
//   underlay     --- changed  ---> device and peers, lease record, feed; carrier lost or back ---> feed
//   config       --- changed  ---> device, subnet.env
//
// The lease in etcd is the lease holder's matter, the device the backend's; here one is made to follow the other.

import type { Clock } from '../lib/run/clock.ts';
import { pause } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import type { Backend } from './backend/backend.ts';
import { acquireLease, type LeaseTerms } from './lease/acquire-lease.ts';
import { LeaseConflict } from './lease/lease-conflict.ts';
import { LeaseHolder } from './lease/lease-holder.ts';
import type { NetworkConfig } from './lease/network-config.ts';
import type { LeaseFeed } from './lease-feed.ts';
import type { NodeFacts } from './node-facts.ts';
import type { FlanneldView } from './status.ts';
import type { SubnetFile } from './subnet-file.ts';
import type { Underlay } from './underlay.ts';

/** Between the last word of a subnet and what follows, so that bgpd and felix have heard it. */
const DRAIN_MS = 300;

export interface TenureOptions {
  readonly facts: NodeFacts;
  readonly terms: LeaseTerms;
  readonly holder: LeaseHolder;
  readonly renewMarginSeconds: number;
  readonly onConflict: 'exit' | 'new-subnet';
  readonly backend: Backend;
  readonly feed: LeaseFeed;
  readonly subnetFile: SubnetFile;
  readonly view: FlanneldView;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Tenure {
  readonly #options: TenureOptions;
  #holder: LeaseHolder;

  constructor(options: TenureOptions) {
    this.#options = options;
    this.#holder = options.holder;
  }

  get holder(): LeaseHolder {
    return this.#holder;
  }

  /** Holds a subnet until `signal` aborts; then resolves. Rejects with `ExitError` where it cannot go on. */
  async hold(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#holder.hold(signal);
      } catch (error) {
        if (!(error instanceof LeaseConflict)) throw error;
        await this.#leave(error);
        if (error.isNamesake || this.#options.onConflict === 'exit') throw error;
        await this.#move(signal);
      }
    }
  }

  /** The underlay is another: peers are told by the lease. */
  setUnderlay(underlay: Underlay): void {
    const { facts, backend, feed, view } = this.#options;
    const { publicIp, local } = facts.underlay;
    facts.underlay = underlay;
    view.underlay = underlay;
    backend.update({ underlay });
    if (publicIp === underlay.publicIp && local === underlay.local) return;
    this.#holder.refresh();
    feed.publishOwn(this.#holder.lease, underlay.publicIp);
  }

  /** Packets can leave over the underlay, or cannot. */
  setCarrier(hasCarrier: boolean): void {
    this.#options.feed.setCarrier(hasCarrier);
  }

  setNetwork(network: NetworkConfig): void {
    const { facts, backend } = this.#options;
    facts.network = network;
    backend.update({ config: network.backend });
  }

  /** Another node has the subnet: whoever routes by our word must hear that first. */
  async #leave(conflict: LeaseConflict): Promise<void> {
    const { feed, clock, log } = this.#options;
    log.error({ reason: conflict.message }, 'another node really has the subnet: no longer announcing it');
    feed.withdrawOwn();
    await pause(clock, DRAIN_MS);
  }

  async #move(signal: AbortSignal): Promise<void> {
    const { facts, terms, renewMarginSeconds, backend, feed, subnetFile, view, log } = this.#options;
    const former = this.#holder.lease;
    facts.previous = undefined;
    const held = await acquireLease(terms, signal);
    this.#holder = new LeaseHolder(terms, held, renewMarginSeconds);
    view.holder = this.#holder;
    view.moves = (view.moves ?? 0) + 1;
    backend.update({ own: held.lease });
    feed.publishOwn(held.lease, facts.underlay.publicIp);
    await subnetFile.keep();
    log.warn(
      { was: former.subnet, subnet: held.lease.subnet },
      'moved to another subnet: pods of the former one are cut off',
    );
  }
}
