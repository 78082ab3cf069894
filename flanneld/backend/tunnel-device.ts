// Keeps one tunnel device as it should be: the link itself, its addresses, and the entries of its peers.
//
// Not written once but reconciled: the kernel's notifications say at once what somebody else changed, a periodic pass
// lists everything. Whoever deletes flannel.1 sees it come back with every peer. Stopping leaves the device as it is.

import type { Logger } from 'pino';
import type { IpipLink, Kernel, KernelEvent, Link, LinkAddress, LinkSpec, VxlanLink } from '../../lib/kernel/kernel.ts';
import { type Address, familyOf } from '../../lib/net/address.ts';
import type { Mac } from '../../lib/net/mac.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import { applyAll, deviceError, ForeignDevice } from './device-fault.ts';
import { PeerEntries, type PeerEntry } from './peer-entries.ts';
import { ReconcileLoop } from './reconcile-loop.ts';

/** The link alias by which a device is known as ours. */
export const ALIAS = 'gingham';
const RESYNC_MS = 30_000;

export interface TunnelSpec {
  readonly name: string;
  /** Makes the device where it is missing; without it and `ipip`, somebody else makes it (a TAP or TUN). */
  readonly vxlan?: VxlanLink;
  /** As `vxlan`, for an IP-in-IP device. */
  readonly ipip?: IpipLink;
  readonly mac?: Mac;
  readonly mtuBytes: number;
  /** Host addresses: /32 or /128. */
  readonly addresses: readonly Address[];
}

export interface TunnelDeviceOptions {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly spec: TunnelSpec;
  /** Called after each pass, and when something was noticed that makes one necessary. */
  onChange(): void;
}

export class TunnelDevice {
  readonly #options: TunnelDeviceOptions;
  readonly #loop: ReconcileLoop;
  readonly #entries = new PeerEntries();
  #spec: TunnelSpec;
  #index: number | undefined;
  #problem: string | undefined = 'not made yet';
  /** The link or its addresses may not be as they should. */
  #linkDirty = true;
  /** Neighbours and FDB must be listed again. */
  #entriesDirty = true;
  #isListing = false;
  #started = false;
  #unsubscribe: () => void = () => undefined;

  constructor(options: TunnelDeviceOptions) {
    const { clock, log, spec } = options;
    this.#options = options;
    this.#spec = spec;
    const pass = (periodic: boolean): Promise<void> => this.#pass(periodic);
    this.#loop = new ReconcileLoop({ clock, log, name: spec.name, periodMs: RESYNC_MS, pass });
  }

  /** Makes the device and its entries. Throws `ExitError` (environment) where this node cannot have it. */
  async start(): Promise<void> {
    const { kernel } = this.#options;
    try {
      this.#unsubscribe = await kernel.subscribe(['link', 'address', 'neighbour', 'fdb'], (event) => this.#hear(event));
      await this.#pass(true);
    } catch (error) {
      this.#unsubscribe();
      throw deviceError(error, this.#spec.name);
    }
    this.#started = true;
    this.#poke();
  }

  /** What is wrong with the device itself; `undefined` where it is there and as it should be. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** What one peer needs, by its name; `undefined` where it is gone. Costs nothing for the others. */
  setPeer(name: string, entry: PeerEntry | undefined): void {
    this.#entries.wantOf(name, entry);
    this.#poke();
  }

  /** Every peer was named by `setPeer` once: entries that nobody needs may go. */
  peersKnown(): void {
    this.#entries.peersKnown();
    this.#poke();
  }

  setMtu(mtuBytes: number): void {
    this.setSpec({ mtuBytes });
  }

  /** The device shall be another: what can be changed on it is, else it is made again with every peer. */
  setSpec(changes: Partial<Omit<TunnelSpec, 'name'>>): void {
    this.#spec = { ...this.#spec, ...changes };
    this.check();
  }

  /** Looks at the link again. */
  check(): void {
    this.#linkDirty = true;
    this.#poke();
  }

  /** Whether these entries are in the kernel as they should be. */
  isProgrammed(gateways: readonly Address[], mac: Mac | undefined): boolean {
    return this.#problem === undefined && this.#entries.has(gateways, mac);
  }

  /** Resolves when all that was asked for is done, or was tried. */
  settled(): Promise<void> {
    return this.#loop.settled();
  }

  /** Stops watching over it; the device and its entries stay. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#loop.stop();
  }

  #hear(event: KernelEvent): void {
    this.#entries.hear(event, this.#index);
    if (event.type === 'resync') {
      this.#entriesDirty = true;
      this.check();
    } else if (event.kind === 'link') {
      const { name, index } = event.object;
      if (name === this.#spec.name || index === this.#index) this.check();
    } else if (event.kind === 'address') {
      if (event.object.linkIndex === this.#index) this.check();
    } else {
      // What is being listed may be older than this: it is listed again.
      const isOurs = 'linkIndex' in event.object && event.object.linkIndex === this.#index;
      if (this.#isListing && isOurs) this.#entriesDirty = true;
      if (this.#entriesDirty || !this.#entries.inSync) this.#poke();
    }
  }

  /** What happens during the first pass waits for its end: passes never overlap. */
  #poke(): void {
    if (!this.#started) return;
    this.#loop.poke();
  }

  async #pass(periodic: boolean): Promise<void> {
    const { kernel } = this.#options;
    try {
      if (periodic || this.#linkDirty || this.#index === undefined) {
        this.#linkDirty = false;
        const index = await this.#makeLink();
        if (index !== this.#index || periodic) this.#entriesDirty = true;
        this.#index = index;
        if (index !== undefined) await this.#writeAddresses(index);
      }
      if (this.#index === undefined) {
        this.#problem = `${this.#spec.name} is missing`;
        return;
      }
      if (this.#entriesDirty) await this.#list(this.#index);
      await applyAll(kernel, this.#entries.changes(this.#index), (change) => this.#entries.record(change));
      this.#problem = undefined;
    } catch (error) {
      this.#linkDirty = true;
      this.#entriesDirty = true;
      this.#problem = errorText(error);
      throw error;
    } finally {
      this.#options.onChange();
    }
  }

  async #list(index: number): Promise<void> {
    this.#entriesDirty = false;
    this.#isListing = true;
    try {
      await this.#entries.list(this.#options.kernel, index, this.#spec.vxlan !== undefined);
    } finally {
      this.#isListing = false;
    }
  }

  /** Index of the link as it should be; `undefined` where there is none and it is not ours to make. */
  async #makeLink(): Promise<number | undefined> {
    const { kernel, log } = this.#options;
    const { name, mac, mtuBytes } = this.#spec;
    const create = creationOf(this.#spec);
    const found = await this.#findLink();
    const wanted = { name, mtuBytes, up: true, alias: ALIAS, ...(mac && { mac }) };
    if (found !== undefined && create !== undefined && !isOurs(found, mac)) throw new ForeignDevice(found);
    if (found !== undefined && (create === undefined || isCompatible(found, this.#spec))) {
      const isSame =
        found.mtuBytes === mtuBytes && found.up && found.alias === ALIAS && (mac === undefined || found.mac === mac);
      // Not the MAC address where it is right: to set it, the same one too, flushes every neighbour.
      const { mac: _mac, ...rest } = wanted;
      const change = found.mac === mac ? rest : wanted;
      if (!isSame) await applyAll(kernel, [{ op: 'put', kind: 'link', link: change }]);
      return found.index;
    }
    if (create === undefined) return undefined;
    if (found !== undefined) {
      log.warn(
        { device: name, was: found.vxlan ?? found.ipip ?? found.type },
        'the device is not as it should be: making it again',
      );
      await applyAll(kernel, [{ op: 'delete', kind: 'link', name: found.name }]);
    }
    await applyAll(kernel, [{ op: 'put', kind: 'link', link: { ...wanted, create } }]);
    log.info({ device: name, ...this.#spec.vxlan, ...this.#spec.ipip, mac, mtuBytes }, 'device made');
    return (await this.#findLink())?.index;
  }

  async #findLink(): Promise<Link | undefined> {
    const links = await this.#options.kernel.list('link');
    const { name, vxlan } = this.#spec;
    const named = links.find((link) => link.name === name);
    // Renamed by hand, ours still occupies its VNI and port.
    const renamed = (link: Link): boolean =>
      link.alias === ALIAS && link.vxlan?.vni === vxlan?.vni && link.vxlan?.port === vxlan?.port;
    return named ?? (vxlan === undefined ? undefined : links.find(renamed));
  }

  /** Adds what is missing before it removes what is too much; IPv6 link-local addresses are the kernel's. */
  async #writeAddresses(linkIndex: number): Promise<void> {
    const { kernel } = this.#options;
    const found = await kernel.list('address', { linkIndex });
    const wanted = this.#spec.addresses.map((address): LinkAddress => {
      return { linkIndex, address, prefixLength: familyOf(address) === 4 ? 32 : 128 };
    });
    const has = (list: readonly LinkAddress[], { address, prefixLength }: LinkAddress): boolean =>
      list.some((other) => other.address === address && other.prefixLength === prefixLength);
    const missing = wanted.filter((address) => !has(found, address));
    const extra = found.filter((address) => !has(wanted, address) && !/^fe[89ab]/.test(address.address));
    await applyAll(kernel, [
      ...missing.map((address) => ({ op: 'put', kind: 'address', address }) as const),
      ...extra.map((address) => ({ op: 'delete', kind: 'address', address }) as const),
    ]);
  }
}

/** Ours by its alias, or by its MAC address: a crash may fall between making a device and naming it. */
function isOurs({ alias, type, mac }: Link, wantedMac: Mac | undefined): boolean {
  return alias === ALIAS || (type === 'vxlan' && mac !== undefined && mac === wantedMac);
}

function creationOf({ vxlan, ipip }: TunnelSpec): LinkSpec['create'] {
  if (vxlan !== undefined) return { type: 'vxlan', vxlan };
  return ipip && { type: 'ipip', ipip };
}

/** Whether what cannot be changed on a living device is as wanted. */
function isCompatible({ name, vxlan, ipip }: Link, wanted: TunnelSpec): boolean {
  if (name !== wanted.name || (vxlan === undefined) !== (wanted.vxlan === undefined)) return false;
  if (vxlan === undefined || wanted.vxlan === undefined) return ipip !== undefined && ipip.local === wanted.ipip?.local;
  return (
    vxlan.vni === wanted.vxlan.vni &&
    vxlan.local === wanted.vxlan.local &&
    vxlan.port === wanted.vxlan.port &&
    vxlan.parentIndex === wanted.vxlan.parentIndex &&
    vxlan.learning === wanted.vxlan.learning &&
    vxlan.gbp === wanted.vxlan.gbp
  );
}
