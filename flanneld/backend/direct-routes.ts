// Which peers sit on the same link as this node, so that a plain route over the underlay reaches them.
//
// Asked of the kernel (its route lookup without a gateway in the answer), again whenever routes, links or addresses
// change, and now and then without a reason: a peer may come to sit behind a router, and back.

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
  /** Called when an answer has changed. */
  onChange(): void;
}

export class DirectRoutes {
  readonly #options: DirectRoutesOptions;
  readonly #loop: ReconcileLoop;
  #endpoints: ReadonlySet<Address> = new Set();
  #known: ReadonlyMap<Address, Reach> = new Map();
  #unsubscribe: () => void = () => undefined;

  constructor(options: DirectRoutesOptions) {
    const { clock, log } = options;
    this.#options = options;
    this.#loop = new ReconcileLoop({ clock, log, name: 'underlay', periodMs: RELOOK_MS, pass: () => this.#look() });
  }

  async start(): Promise<void> {
    this.#unsubscribe = await this.#options.kernel.subscribe(['route', 'link', 'address'], (event) => {
      if (isAboutUnderlay(event)) this.#loop.poke();
    });
  }

  setEndpoints(endpoints: Iterable<Address>): void {
    this.#endpoints = new Set(endpoints);
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

  async #look(): Promise<void> {
    const { kernel } = this.#options;
    const links = new Map((await kernel.list('link')).map(({ index, name }) => [index, name]));
    const known = new Map<Address, Reach>();
    for (const endpoint of this.#endpoints) {
      const route = await kernel.routeTo(endpoint);
      const device = route === undefined ? undefined : links.get(route.linkIndex);
      if (route?.gateway !== undefined) known.set(endpoint, { type: 'router', gateway: route.gateway });
      else known.set(endpoint, device === undefined ? { type: 'none' } : { type: 'link', device });
    }
    const before = this.#known;
    this.#known = known;
    if (JSON.stringify([...known]) !== JSON.stringify([...before])) this.#options.onChange();
  }
}

/** gingham's own routes lead into the overlay and tell nothing of the underlay. */
function isAboutUnderlay(event: KernelEvent): boolean {
  return event.type === 'resync' || event.kind !== 'route' || event.object.protocol !== PROTOCOL_GINGHAM;
}
