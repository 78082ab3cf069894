// The ways to the peers, as the kernel would take them: over which link, straight or over routers; and whether that link has
// carrier. It only asks the kernel; what follows from the answers is its owner's.
//
// A way is asked for when a peer comes, when links or addresses change, and when the owner has a doubt (`look`). A link
// that loses its carrier is no loss where the kernel has another way by then.

import type { Kernel, KernelEvent, Link } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Clock } from '../../lib/run/clock.ts';
import type { BfdHops } from './messages.ts';

export interface WaysOptions {
  readonly kernel: Pick<Kernel, 'list' | 'subscribe' | 'routeTo'>;
  readonly clock: Pick<Clock, 'unixMicros'>;
  /** `hops` may give something else now. */
  readonly changed: () => void;
  /** The link to a peer lost its carrier, or a way with carrier is there again. */
  readonly carrier: (peer: Address, up: boolean, device: string, detectedUnixUs: bigint) => void;
}

interface Way {
  /** As last found; a way that is gone is remembered, to know whose loss it was. */
  linkIndex: number | undefined;
  device: string;
  hops: BfdHops | undefined;
  lost: boolean;
}

export class Ways {
  readonly #options: WaysOptions;
  readonly #ways = new Map<Address, Way>();
  readonly #links = new Map<number, Pick<Link, 'name' | 'running'>>();
  /** What is under way, so that one thing is done after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: WaysOptions) {
    this.#options = options;
  }

  /** Follows the links from now on; what is asked meanwhile waits until they are known. Rejects with `KernelError`. */
  start(): Promise<() => void> {
    const started = this.#start();
    this.#work = started.then(
      () => undefined,
      () => undefined,
    );
    return started;
  }

  /** Kind of session for each peer to which there is a way, or was. */
  get hops(): ReadonlyMap<Address, BfdHops> {
    return new Map([...this.#ways].flatMap(([peer, { hops }]) => (hops === undefined ? [] : [[peer, hops] as const])));
  }

  /** These are the peers now. */
  setPeers(peers: readonly Address[]): void {
    for (const peer of this.#ways.keys()) if (!peers.includes(peer)) this.#ways.delete(peer);
    const added = peers.filter((peer) => !this.#ways.has(peer));
    for (const peer of added) this.#ways.set(peer, { linkIndex: undefined, device: '', hops: undefined, lost: false });
    void this.look(added);
  }

  /** Asks again for the ways to these peers. Resolves when that is done. */
  look(peers: Iterable<Address>): Promise<void> {
    const nowUs = this.#options.clock.unixMicros();
    const asked = [...peers];
    // A kernel that does not answer leaves the ways as they were: what is sent tells.
    this.#work = this.#work.then(() => this.#look(asked, nowUs)).catch(() => undefined);
    return this.#work;
  }

  #take(event: KernelEvent): void {
    if (event.type === 'resync') {
      this.#work = this.#work.then(() => this.#list()).catch(() => undefined);
      void this.look(this.#ways.keys());
      return;
    }
    if (event.kind !== 'link') {
      void this.look(this.#ways.keys());
      return;
    }
    const { index, name, running } = event.object;
    const before = this.#links.get(index);
    if (event.type === 'delete') this.#links.delete(index);
    else this.#links.set(index, { name, running });
    const isUp = event.type === 'put' && running;
    if (before?.running === isUp) return;
    // One that came may be a better way for anybody.
    const affected = [...this.#ways].filter(([, way]) => isUp || way.linkIndex === index).map(([peer]) => peer);
    if (affected.length > 0) void this.look(affected);
  }

  async #start(): Promise<() => void> {
    const unsubscribe = await this.#options.kernel.subscribe(['link', 'address'], (event) => this.#take(event));
    await this.#list();
    return unsubscribe;
  }

  async #list(): Promise<void> {
    const links = await this.#options.kernel.list('link');
    this.#links.clear();
    for (const { index, name, running } of links) this.#links.set(index, { name, running });
  }

  async #look(peers: readonly Address[], detectedUnixUs: bigint): Promise<void> {
    const { kernel, changed, carrier } = this.#options;
    let isNews = false;
    for (const peer of peers) {
      const found = await kernel.routeTo(peer);
      const way = this.#ways.get(peer);
      if (way === undefined) continue;
      const { device } = way;
      if (found !== undefined) isNews = this.#follow(way, found) || isNews;
      if (way.linkIndex === undefined) continue;
      const link = this.#links.get(way.linkIndex);
      // A link that the kernel uses and we do not know: its news is still to come.
      if (link === undefined && found !== undefined) continue;
      const lost = link?.running !== true;
      if (lost === way.lost) continue;
      way.lost = lost;
      carrier(peer, !lost, lost && device !== '' ? device : way.device, detectedUnixUs);
    }
    if (isNews) changed();
  }

  /** Takes what the kernel said; whether the kind of session is another. */
  #follow(way: Way, found: { readonly linkIndex: number; readonly gateway?: Address }): boolean {
    const hops = found.gateway === undefined ? 'single' : 'multi';
    const isNews = way.hops !== hops;
    way.linkIndex = found.linkIndex;
    way.device = this.#links.get(found.linkIndex)?.name ?? `number ${found.linkIndex}`;
    way.hops = hops;
    return isNews;
  }
}
