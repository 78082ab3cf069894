// The data plane on the tuntap driver: core and driver in this thread's event loop.
// A busy daemon thus delays packets and busy packets delay the daemon: the price of a driver that is simple.

import type { DataPlane, OpenOptions, PlaneConfig, PlaneRoute } from './data-plane.ts';
import { Forwarder } from './forwarder.ts';
import { openTuntapIo } from './tuntap-io.ts';

/** Routes between two turns of the event loop: some hundred microseconds, however many there are in all. */
const ROUTES_PER_TURN = 128;

/** See `OpenDataPlane`; `why` is the reason for this driver. */
export async function openTuntapPlane(config: PlaneConfig, options: OpenOptions, why: string): Promise<DataPlane> {
  const io = await openTuntapIo(config);
  const forwarder = new Forwarder(
    config,
    io,
    () => performance.now(),
    (error) => options.onFailure(error),
  );
  let waiting: PlaneRoute[] = [];
  const setSomeRoutes = (): void => {
    forwarder.setRoutes(waiting.slice(0, ROUTES_PER_TURN));
    waiting = waiting.slice(ROUTES_PER_TURN);
    if (waiting.length > 0) setImmediate(setSomeRoutes);
  };
  let closing: Promise<void> | undefined;
  return {
    io: { name: io.name, why },
    setPeer: (peer) => forwarder.setPeer(peer),
    removePeer: (node) => forwarder.removePeer(node),
    setRoutes: (routes) => {
      if (waiting.length === 0 && routes.length > 0) setImmediate(setSomeRoutes);
      waiting = waiting.concat(routes);
    },
    setMtu: (mtuBytes) => forwarder.setMtu(mtuBytes),
    stats: () => forwarder.stats(),
    persist: () => undefined,
    close: () => {
      closing ??= io.close();
      waiting = [];
      return closing;
    },
  };
}
