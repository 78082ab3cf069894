// Whether the kernel can reach certain next hops: the underlay address of a node, and the device by which packets for what
// is behind it leave. Looked at anew when a link, an address or a route changes that could matter, and now and then.
//
// It writes nothing and decides nothing. A next hop is reachable where its device is up and the kernel has a route to the
// address, over a link that is up, and not into the tunnel that the address is the far end of.
//
// The confusing thing: the kernel drops IPv4 routes of a link that goes down in silence, at about the time at which it tells
// of the link. So a change of a link is looked at twice.

import type { Kernel, KernelEvent, Link } from '../../lib/kernel/kernel.ts';
import { type Address, familyOf } from '../../lib/net/address.ts';
import { prefixContains, prefixFamily } from '../../lib/net/prefix.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';

/** The second look at what a link's change may have done. */
const SECOND_LOOK_MS = 100;

/** Between two looks, however much changes: thousands of routes may come in a burst. */
const PAUSE_MS = 10;

/** After a look that failed. */
const RETRY_MS = 1_000;

/** For what the kernel did not tell. */
const RECHECK_MS = 30_000;

/** How the names of our tunnel devices begin. */
const TUNNEL_NAME = 'flannel';

export interface TrackedHop {
  readonly endpoint: Address;
  /** Empty: the one through which the kernel reaches the endpoint. */
  readonly device: string;
}

/** `reason`: why it cannot be reached; `undefined` where it can. */
export interface HopState extends TrackedHop {
  readonly reason: string | undefined;
  readonly detectedUnixUs: bigint;
}

export interface NextHopTrackerOptions {
  readonly kernel: Pick<Kernel, 'list' | 'subscribe' | 'routeTo'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** States that are new or other than they were. */
  readonly changed: (states: readonly HopState[]) => void;
}

export class NextHopTracker {
  readonly #options: NextHopTrackerOptions;
  readonly #hops = new Map<string, TrackedHop>();
  readonly #states = new Map<string, HopState>();
  readonly #links = new Map<number, Link>();
  readonly #due = new Set<string>();
  #unsubscribe: () => void = () => undefined;
  #cancelLook: (() => void) | undefined;
  #cancelRecheck: () => void = () => undefined;
  #cancelSecondLook: () => void = () => undefined;
  #looking = false;
  #listed = false;
  #stopped = false;

  constructor(options: NextHopTrackerOptions) {
    this.#options = options;
  }

  /** What is tracked, and what is known of it. */
  get states(): ReadonlyMap<string, HopState> {
    return this.#states;
  }

  /** Subscribes and lists. Rejects with `KernelError`. */
  async start(): Promise<void> {
    const { kernel } = this.#options;
    const unsubscribe = await kernel.subscribe(['link', 'address', 'route'], (event) => this.#event(event));
    if (this.#stopped) return unsubscribe();
    this.#unsubscribe = unsubscribe;
    await this.#listLinks();
    this.#recheckLater();
  }

  /** Tracks these from now on; each has a state soon, told by `changed`. */
  add(hops: readonly TrackedHop[]): void {
    for (const hop of hops) {
      this.#hops.set(keyOf(hop), hop);
      this.#due.add(keyOf(hop));
    }
    this.#lookSoon(0);
  }

  remove(hops: readonly TrackedHop[]): void {
    for (const hop of hops) {
      this.#hops.delete(keyOf(hop));
      this.#states.delete(keyOf(hop));
      this.#due.delete(keyOf(hop));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    this.#cancelLook?.();
    this.#cancelRecheck();
    this.#cancelSecondLook();
  }

  #event(event: KernelEvent): void {
    if (event.type === 'resync') {
      this.#listLinks().catch((error: unknown) => this.#failed(error));
      return;
    }
    if (event.kind === 'link') {
      if (event.type === 'put') this.#links.set(event.object.index, event.object);
      else this.#links.delete(event.object.index);
      this.#lookAtAll();
      this.#cancelSecondLook();
      this.#cancelSecondLook = this.#options.clock.after(SECOND_LOOK_MS, () => this.#lookAtAll());
    } else if (event.kind === 'address') {
      this.#lookAtAll();
    } else if (event.kind === 'route') {
      const { prefix } = event.object;
      for (const [key, { endpoint }] of this.#hops) {
        if (prefixFamily(prefix) === familyOf(endpoint) && prefixContains(prefix, endpoint)) this.#due.add(key);
      }
      this.#lookSoon(0);
    }
  }

  async #listLinks(): Promise<void> {
    const links = await this.#options.kernel.list('link');
    this.#links.clear();
    for (const link of links) this.#links.set(link.index, link);
    this.#listed = true;
    this.#lookAtAll();
  }

  #lookAtAll(): void {
    for (const key of this.#hops.keys()) this.#due.add(key);
    this.#lookSoon(0);
  }

  #recheckLater(): void {
    this.#cancelRecheck = this.#options.clock.after(RECHECK_MS, () => {
      this.#listLinks().catch((error: unknown) => this.#failed(error));
      this.#recheckLater();
    });
  }

  #lookSoon(delayMs: number): void {
    if (this.#looking || this.#cancelLook !== undefined || this.#due.size === 0 || this.#stopped) return;
    this.#cancelLook = this.#options.clock.after(delayMs, () => {
      this.#cancelLook = undefined;
      this.#looking = true;
      const due = [...this.#due];
      this.#due.clear();
      const goOn = (pauseMs: number): void => {
        this.#looking = false;
        this.#lookSoon(pauseMs);
      };
      this.#look(due).then(
        () => goOn(PAUSE_MS),
        (error: unknown) => {
          this.#failed(error);
          for (const key of due) if (this.#hops.has(key)) this.#due.add(key);
          goOn(RETRY_MS);
        },
      );
    });
  }

  async #look(due: readonly string[]): Promise<void> {
    if (!this.#listed) await this.#listLinks();
    const news: HopState[] = [];
    for (const key of due) {
      const hop = this.#hops.get(key);
      if (hop === undefined) continue;
      const reason = await this.#problem(hop);
      const before = this.#states.get(key);
      if (!this.#hops.has(key) || (before !== undefined && before.reason === reason)) continue;
      const state = { ...hop, reason, detectedUnixUs: this.#options.clock.unixMicros() };
      this.#states.set(key, state);
      news.push(state);
    }
    if (news.length > 0 && !this.#stopped) this.#options.changed(news);
  }

  async #problem({ endpoint, device }: TrackedHop): Promise<string | undefined> {
    const own = device === '' ? undefined : [...this.#links.values()].find(({ name }) => name === device);
    if (device !== '' && own === undefined) return `there is no device ${device}`;
    const ownProblem = own && linkProblem(own);
    if (ownProblem !== undefined) return ownProblem;
    const route = await this.#options.kernel.routeTo(endpoint);
    if (route === undefined) return `the kernel has no route to ${endpoint}`;
    const link = this.#links.get(route.linkIndex);
    if (link === undefined) return undefined;
    const problem = linkProblem(link);
    if (problem !== undefined) return `${endpoint} is behind ${link.name}, and ${problem}`;
    const isLoop = link.name === device && device.startsWith(TUNNEL_NAME);
    return isLoop ? `the route to ${endpoint} leads into ${device} itself` : undefined;
  }

  #failed(error: unknown): void {
    this.#options.log.warn({ reason: errorText(error) }, 'next hops cannot be looked at now');
  }
}

/** One text for each next hop. */
export function keyOf({ endpoint, device }: TrackedHop): string {
  return `${endpoint}%${device}`;
}

function linkProblem({ name, up, running }: Link): string | undefined {
  if (!up) return `${name} is down`;
  return running ? undefined : `${name} has no carrier`;
}
