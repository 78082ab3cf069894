// Which peers sit on the same link as this node, so that a plain route over the underlay reaches them.
//
// Asked of the kernel (its route lookup without a gateway in the answer), again whenever routes, links or addresses
// change, and now and then without a reason: a peer may come to sit behind a router, and back. A peer that is new is
// asked for alone.

import { type Kernel, type KernelEvent, PROTOCOL_GINGHAM } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Clock } from '../../lib/run/clock.ts';
import type { Logger } from '../../lib/run/log.ts';
import { ReconcileLoop } from './reconcile-loop.ts';

const RELOOK_MS = 30_000;

/** How the kernel reaches an underlay address. */
export type Reach =
  /** On the link of this device. */
  | { readonly type: 'link'; readonly device: string }
  | { readonly type: 'router'; readonly gateway: Address }
  | { readonly type: 'none' };

export interface DirectRoutesOptions {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with those whose answer has changed. */
  onChange(endpoints: ReadonlySet<Address>): void;
}

export class DirectRoutes {
  readonly #options: DirectRoutesOptions;
  readonly #loop: ReconcileLoop;
  #endpoints: ReadonlySet<Address> = new Set();
  readonly #known = new Map<Address, Reach>();
  #dirty = true;
  #unsubscribe: () => void = () => undefined;

  constructor(options: DirectRoutesOptions) {
    const { clock, log } = options;
    this.#options = options;
    const pass = (periodic: boolean): Promise<void> => this.#look(periodic);
    this.#loop = new ReconcileLoop({ clock, log, name: 'underlay', periodMs: RELOOK_MS, pass });
  }

  async start(): Promise<void> {
    this.#unsubscribe = await this.#options.kernel.subscribe(['route', 'link', 'address'], (event) => {
      if (!isAboutUnderlay(event)) return;
      this.#dirty = true;
      this.#loop.poke();
    });
  }

  setEndpoints(endpoints: Iterable<Address>): void {
    this.#endpoints = new Set(endpoints);
    for (const known of [...this.#known.keys()]) if (!this.#endpoints.has(known)) this.#known.delete(known);
    this.#loop.poke();
  }

  /** As last seen; `undefined` where the kernel was not asked yet. */
  reach(endpoint: Address): Reach | undefined {
    return this.#known.get(endpoint);
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#loop.stop();
  }

  async #look(periodic: boolean): Promise<void> {
    const { kernel } = this.#options;
    const all = this.#dirty || periodic;
    const asked = [...this.#endpoints].filter((endpoint) => all || !this.#known.has(endpoint));
    if (asked.length === 0) return;
    this.#dirty = false;
    const changed = new Set<Address>();
    try {
      const links = new Map((await kernel.list('link')).map(({ index, name }) => [index, name]));
      for (const endpoint of asked) {
        const route = await kernel.routeTo(endpoint);
        const device = route === undefined ? undefined : links.get(route.linkIndex);
        const reach = reachOf(route?.gateway, device);
        if (JSON.stringify(reach) !== JSON.stringify(this.#known.get(endpoint))) changed.add(endpoint);
        this.#known.set(endpoint, reach);
      }
    } catch (error) {
      this.#dirty ||= all;
      throw error;
    } finally {
      if (changed.size > 0) this.#options.onChange(changed);
    }
  }
}

function reachOf(gateway: Address | undefined, device: string | undefined): Reach {
  if (gateway !== undefined) return { type: 'router', gateway };
  return device === undefined ? { type: 'none' } : { type: 'link', device };
}

/** gingham's own routes lead into the overlay and tell nothing of the underlay. */
function isAboutUnderlay(event: KernelEvent): boolean {
  return event.type === 'resync' || event.kind !== 'route' || event.object.protocol !== PROTOCOL_GINGHAM;
}
