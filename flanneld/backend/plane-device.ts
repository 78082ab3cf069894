// A tunnel device whose packets flanneld carries itself: the data plane that owns the TAP or TUN, and the kernel's side of
// it (addresses, MAC, MTU, neighbours), kept together.
//
// When the plane breaks (somebody deleted the device) another is opened and told every peer again. A kernel VXLAN device
// of ours under the same name, left by a run without --vxlan-user, makes room.

import type { Kernel } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import { type Prefix, prefixAddress } from '../../lib/net/prefix.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import type {
  DataPlane,
  OpenDataPlane,
  PlaneConfig,
  PlaneIoChoice,
  PlanePeer,
  PlaneRoute,
} from '../dataplane/data-plane.ts';
import { applyAll, deviceError, ForeignDevice } from './device-fault.ts';
import type { PeerEntry } from './peer-entries.ts';
import { ReconcileLoop } from './reconcile-loop.ts';
import { ALIAS, TunnelDevice, type TunnelSpec } from './tunnel-device.ts';

/** Nothing is periodic here: a plane says when it breaks. */
const LOOK_MS = 60_000;

export interface PlaneDeviceOptions {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly open: OpenDataPlane;
  readonly io: PlaneIoChoice;
  readonly config: PlaneConfig;
  readonly spec: TunnelSpec;
  onChange(): void;
}

export class PlaneDevice {
  readonly #options: PlaneDeviceOptions;
  readonly #device: TunnelDevice;
  readonly #loop: ReconcileLoop;
  readonly #peers = new Map<string, PlanePeer>();
  readonly #routes = new Map<Prefix, PlaneRoute>();
  /** Drops of planes that were closed. */
  readonly #pastDrops: Record<string, number> = {};
  #config: PlaneConfig;
  #plane: DataPlane | undefined;
  #broken: string | undefined = 'not opened yet';

  constructor(options: PlaneDeviceOptions) {
    const { clock, log, config } = options;
    this.#options = options;
    this.#config = config;
    this.#device = new TunnelDevice(options);
    const pass = (): Promise<void> => this.#reopen();
    this.#loop = new ReconcileLoop({ clock, log, name: config.deviceName, periodMs: LOOK_MS, pass });
  }

  /** Opens the plane and dresses its device. Throws `ExitError` (environment) where this node cannot have it. */
  async start(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      throw deviceError(error, this.#config.deviceName);
    }
    await this.#device.start();
    // Only now does it have the mark by which the next run knows it as ours.
    this.#plane?.persist();
  }

  get problem(): string | undefined {
    return this.#broken ?? this.#device.problem;
  }

  /** The driver in use; `undefined` where no plane is open. */
  get io(): DataPlane['io'] | undefined {
    return this.#plane?.io;
  }

  /** Packets dropped since `start`, by reason. */
  get drops(): Readonly<Record<string, number>> {
    const drops = { ...this.#pastDrops };
    addTo(drops, this.#plane?.stats().drops ?? {});
    return drops;
  }

  /** A peer that is new or another. */
  setPeer(peer: PlanePeer): void {
    if (JSON.stringify(this.#peers.get(peer.node)) === JSON.stringify(peer)) return;
    this.#peers.set(peer.node, peer);
    this.#plane?.setPeer(peer);
  }

  removePeer(node: string): void {
    if (this.#peers.delete(node)) this.#plane?.removePeer(node);
  }

  /** The neighbours that the gateways of one lease are, by its key; `undefined` where it needs none. */
  setNeighbours(key: string, entry: Omit<PeerEntry, 'endpoint'> | undefined): void {
    this.#device.setPeer(key, entry);
  }

  /** As `TunnelDevice.peersKnown`. */
  peersKnown(): void {
    this.#device.peersKnown();
  }

  /** Changes of who has which prefix. */
  setRoutes(routes: readonly PlaneRoute[]): void {
    for (const route of routes) {
      if (route.endpoints.length === 0) this.#routes.delete(route.prefix);
      else this.#routes.set(route.prefix, route);
    }
    this.#plane?.setRoutes(routes);
  }

  /** Whether the plane is open and these neighbours are in place. */
  isProgrammed(gateways: readonly Address[]): boolean {
    return this.#broken === undefined && this.#device.isProgrammed(gateways, undefined);
  }

  setMtu(mtuBytes: number): void {
    this.#config = { ...this.#config, mtuBytes };
    this.#plane?.setMtu(mtuBytes);
    this.#device.setMtu(mtuBytes);
  }

  /** The node has another address or subnet: another plane is opened in this one's place. */
  setNode(localAddress: Address, ownSubnets: readonly Prefix[]): void {
    const { localAddress: formerAddress, ownSubnets: formerSubnets } = this.#config;
    if (formerAddress === localAddress && formerSubnets.join() === ownSubnets.join()) return;
    this.#config = { ...this.#config, localAddress, ownSubnets };
    this.#device.setSpec({ addresses: ownSubnets.map(prefixAddress) });
    this.#broken = `moving to ${localAddress}`;
    this.#options.onChange();
    this.#loop.poke();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.#device.stop();
    await this.#close();
  }

  async #open(): Promise<void> {
    const { kernel, log, open, io } = this.#options;
    const name = this.#config.deviceName;
    const found = (await kernel.list('link')).find((link) => link.name === name);
    if (found !== undefined && found.alias !== ALIAS) throw new ForeignDevice(found);
    // A device that the last run left is taken over as it is, so that routes through it stay.
    const adopt = found?.type === 'tun';
    if (found !== undefined && !adopt) await applyAll(kernel, [{ op: 'delete', kind: 'link', name }]);
    const plane = await open(this.#config, { io, adopt, onFailure: (error) => this.#fail(error) });
    for (const peer of this.#peers.values()) plane.setPeer(peer);
    plane.setRoutes([...this.#routes.values()]);
    this.#plane = plane;
    this.#broken = undefined;
    log.info({ device: name, io: plane.io.name, why: plane.io.why, port: this.#config.port }, 'data plane opened');
  }

  #fail(error: Error): void {
    this.#broken = errorText(error);
    this.#options.log.warn(
      { device: this.#config.deviceName, reason: this.#broken },
      'the data plane broke: opening another',
    );
    this.#options.onChange();
    this.#loop.poke();
  }

  async #reopen(): Promise<void> {
    if (this.#broken === undefined) return;
    await this.#close();
    await this.#open();
    this.#device.check();
    await this.#device.settled();
    this.#plane?.persist();
    this.#options.onChange();
  }

  async #close(): Promise<void> {
    const plane = this.#plane;
    this.#plane = undefined;
    if (plane === undefined) return;
    addTo(this.#pastDrops, plane.stats().drops);
    await plane.close();
  }
}

function addTo(sums: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [reason, count] of Object.entries(counts)) sums[reason] = (sums[reason] ?? 0) + count;
}
