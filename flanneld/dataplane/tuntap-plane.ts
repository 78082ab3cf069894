// The data plane on the tuntap driver: core and driver in this thread's event loop.
// A busy daemon thus delays packets and busy packets delay the daemon: the price of a driver that is simple.

import type { DataPlane, OpenOptions, PlaneConfig } from './data-plane.ts';
import { Forwarder } from './forwarder.ts';
import { openTuntapIo } from './tuntap-io.ts';

/** See `OpenDataPlane`; `why` is the reason for this driver. */
export async function openTuntapPlane(config: PlaneConfig, options: OpenOptions, why: string): Promise<DataPlane> {
  const io = await openTuntapIo(config);
  const forwarder = new Forwarder(
    config,
    io,
    () => performance.now(),
    (error) => options.onFailure(error),
  );
  let closing: Promise<void> | undefined;
  return {
    io: { name: io.name, why },
    setPeer: (peer) => forwarder.setPeer(peer),
    removePeer: (node) => forwarder.removePeer(node),
    setRoutes: (routes) => forwarder.setRoutes(routes),
    setMtu: (mtuBytes) => forwarder.setMtu(mtuBytes),
    stats: () => forwarder.stats(),
    close: () => {
      closing ??= io.close();
      return closing;
    },
  };
}
