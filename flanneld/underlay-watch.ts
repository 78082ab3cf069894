// Follows the underlay while flanneld runs: its interface's name, MTU, state and carrier, and its address, which DHCP or an
// operator may change at any time. The choice itself is made in underlay.ts.
//
// An address that is replaced is gone for a moment before the other is there: until there is another, the node keeps the
// one that it had. The loss of carrier is told from the kernel's notification, without a look at all the rest.

import { type Kernel, PROTOCOL_GINGHAM, TABLE_MAIN } from '../lib/kernel/kernel.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import { ReconcileLoop } from './backend/reconcile-loop.ts';
import type { FlanneldView } from './status.ts';
import { followUnderlay, type NodeNetwork, type Underlay, type UnderlayWish } from './underlay.ts';

const LOOK_MS = 30_000;

export interface UnderlayWatchOptions {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly view: FlanneldView;
  readonly underlay: Underlay;
  /** What to choose by, now. */
  wish(): Promise<UnderlayWish>;
  /** It is another now. */
  onChange(underlay: Underlay): void;
  /** Packets can leave, or cannot; called again where that is so already. */
  onCarrier(hasCarrier: boolean): void;
}

/** Begins; the returned function ends it. */
export async function watchUnderlay(options: UnderlayWatchOptions): Promise<() => Promise<void>> {
  const { kernel, clock, log, view } = options;
  let now = options.underlay;
  const setUp = (isUp: boolean): void => {
    if (isUp !== view.underlayUp) log.warn({ interface: now.name, up: isUp }, 'the underlay interface changed');
    view.underlayUp = isUp;
    options.onCarrier(isUp);
  };
  const look = async (): Promise<void> => {
    const network = await listNetwork(kernel);
    const found = followUnderlay(network, await options.wish(), now);
    const link = network.links.find(({ index }) => index === (typeof found === 'string' ? now : found).linkIndex);
    setUp(typeof found !== 'string' && link?.running === true);
    if (typeof found === 'string') {
      // A link that is down keeps its place; its MTU and name are still followed.
      if (link === undefined || (link.mtuBytes === now.mtuBytes && link.name === now.name)) return;
      now = { ...now, mtuBytes: link.mtuBytes, name: link.name };
    } else {
      if (JSON.stringify(found) === JSON.stringify(now)) return;
      log.warn({ was: now, is: found }, 'the underlay changed');
      now = found;
    }
    options.onChange(now);
  };
  const loop = new ReconcileLoop({ clock, log, name: 'underlay', periodMs: LOOK_MS, pass: look });
  const unsubscribe = await kernel.subscribe(['link', 'address', 'route'], (event) => {
    if (event.type !== 'resync' && event.kind === 'route' && event.object.protocol === PROTOCOL_GINGHAM) return;
    if (event.type !== 'resync' && event.kind === 'link' && event.object.index === now.linkIndex) {
      if (event.type === 'delete' || !event.object.running) setUp(false);
    }
    loop.poke();
  });
  loop.poke();
  return async () => {
    unsubscribe();
    await loop.stop();
  };
}

/** What the choice of the underlay is made from. */
export async function listNetwork(kernel: Kernel): Promise<NodeNetwork> {
  const links = await kernel.list('link');
  const addresses = await kernel.list('address');
  const routes = await kernel.list('route', { table: TABLE_MAIN });
  return { links, addresses, routes };
}
