// What felix knows of the kernel: links, routes, nexthop objects, rules, neighbours and addresses, kept current by
// notifications and listings. It reads only; writing is the reconciler's.
//
// Subscribe first, then list: what happens between the two is buffered and applied after the listing. Some things the
// kernel does in silence (routes and nexthop objects that go with a link, routes that go with a nexthop object): news of
// the cause makes `needsListing`.

import {
  type Kernel,
  KernelError,
  type KernelEvent,
  type Link,
  type LinkAddress,
  type Neighbour,
  PROTOCOL_GINGHAM,
} from '../../lib/kernel/kernel.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { addressKey, neighbourKey, sameAddress, sameNeighbour } from '../desired/link-entries.ts';
import { LinkTable } from '../desired/link-table.ts';
import type { Drift } from './kernel-table.ts';
import { LinkEntryTable } from './link-entry-table.ts';
import { NexthopTable } from './nexthop-table.ts';
import { RouteTable } from './route-table.ts';
import { RuleTable } from './rule-table.ts';

/** What felix writes. */
export type WriteKind = 'route' | 'nexthop' | 'rule' | 'neighbour' | 'address';

export interface KernelMirrorListener {
  /** Links that these names stand for came, went or changed their state; `listed`: so says a listing of everything. */
  linksChanged(names: readonly string[], listed: boolean): void;
  /** Somebody else changed what is ours, of this kind. */
  drifted(drifts: readonly Drift[], kind: WriteKind): void;
  /** How the kernel reaches some address may have changed. */
  waysChanged(): void;
  /** Something was taken in: there may be work. */
  news(): void;
}

const KINDS = ['link', 'address', 'route', 'nexthop', 'rule', 'neighbour'] as const;

export class KernelMirror {
  readonly links = new LinkTable();
  readonly routes: RouteTable;
  readonly nexthops: NexthopTable;
  readonly rules: RuleTable;
  readonly neighbours: LinkEntryTable<Neighbour>;
  readonly addresses: LinkEntryTable<LinkAddress>;
  readonly #kernel: Kernel;
  readonly #clock: Clock;
  readonly #listener: KernelMirrorListener;
  #unsubscribe: (() => void) | undefined;
  /** Events that came while a listing was under way. */
  #buffer: KernelEvent[] | undefined;
  #needsListing = true;
  #listedAtMs: number | undefined;
  #listings = 0;
  #listingMs = 0;
  #hasNexthopObjects = true;

  /** `routeTable`: the routing table in which ours are. */
  constructor(kernel: Kernel, clock: Clock, listener: KernelMirrorListener, routeTable: number) {
    this.#kernel = kernel;
    this.#clock = clock;
    this.#listener = listener;
    this.routes = new RouteTable(clock, routeTable, kernel.mutesOwnRoutes ?? false);
    this.nexthops = new NexthopTable(clock);
    this.rules = new RuleTable(clock);
    this.neighbours = new LinkEntryTable({
      clock,
      links: this.links,
      keyOf: neighbourKey,
      same: sameNeighbour,
      change: (op, neighbour) => ({ op, kind: 'neighbour', neighbour }),
    });
    this.addresses = new LinkEntryTable({
      clock,
      links: this.links,
      keyOf: addressKey,
      same: sameAddress,
      change: (op, address) => ({ op, kind: 'address', address }),
    });
  }

  /** Whether a complete listing was taken in, ever. */
  get isListed(): boolean {
    return this.#listedAtMs !== undefined;
  }

  /** When the last listing was taken in, by the clock's monotonic time. */
  get listedAtMs(): number | undefined {
    return this.#listedAtMs;
  }

  /** How long the last listing took. */
  get listingMs(): number {
    return this.#listingMs;
  }

  /** Listings taken in so far. */
  get listings(): number {
    return this.#listings;
  }

  /** Whether what is known may be wrong, so that only a listing helps. */
  get needsListing(): boolean {
    return this.#needsListing || this.overdueAtMs <= this.#clock.monotonicMs();
  }

  /** When an echo of a write of ours is overdue, which makes `needsListing`; `Infinity` where none is awaited. */
  get overdueAtMs(): number {
    const never = Number.POSITIVE_INFINITY;
    return Math.min(...Object.values(this.tables()).map(({ echoOverdueAtMs }) => echoOverdueAtMs ?? never));
  }

  /** Whether the kernel has nexthop objects (Linux 5.3); known after the first listing. */
  get hasNexthopObjects(): boolean {
    return this.#hasNexthopObjects;
  }

  /** What felix writes, kind by kind. */
  tables() {
    return {
      route: this.routes.table,
      nexthop: this.nexthops.table,
      rule: this.rules.table,
      neighbour: this.neighbours.table,
      address: this.addresses.table,
    } as const;
  }

  /** Asks for a listing. */
  doubt(): void {
    this.#needsListing = true;
  }

  /** Lists everything. Throws `KernelError`; then what is known stays, and `needsListing` too. */
  async list(): Promise<void> {
    this.#unsubscribe ??= await this.#kernel.subscribe(KINDS, (event) => this.#take(event));
    this.#buffer = [];
    this.#needsListing = false;
    const beganMs = this.#clock.monotonicMs();
    try {
      const links = await this.#kernel.list('link');
      const nexthops = await this.#listNexthops();
      const routes = await this.#kernel.list('route');
      const rules = await this.#listRules();
      const neighbours = await this.#kernel.list('neighbour');
      const addresses = await this.#kernel.list('address');
      const isFirst = !this.isListed;
      const names = this.links.replace(links);
      if (names.length > 0) this.#listener.linksChanged(names, true);
      this.#tell('nexthop', this.nexthops.replace(nexthops, isFirst));
      this.#tell('route', this.routes.replace(routes, isFirst));
      this.#tell('rule', this.rules.replace(rules, isFirst));
      this.#tell('neighbour', this.neighbours.replace(neighbours, isFirst));
      this.#tell('address', this.addresses.replace(addresses, isFirst));
      this.#listener.waysChanged();
      this.#listedAtMs = this.#clock.monotonicMs();
      this.#listingMs = this.#listedAtMs - beganMs;
      this.#listings++;
    } catch (error) {
      this.#needsListing = true;
      throw error;
    } finally {
      const missed = this.#buffer;
      this.#buffer = undefined;
      for (const event of missed) this.#take(event);
    }
  }

  /** Ends the subscription. */
  close(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  async #listNexthops() {
    try {
      return await this.#kernel.list('nexthop');
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'unsupported') throw error;
      this.#hasNexthopObjects = false;
      return [];
    }
  }

  /** A kernel without policy rules has none of ours. */
  async #listRules() {
    try {
      return await this.#kernel.list('rule', { protocol: PROTOCOL_GINGHAM });
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'unsupported') throw error;
      return [];
    }
  }

  #take(event: KernelEvent): void {
    if (this.#buffer !== undefined && event.type !== 'resync') {
      this.#buffer.push(event);
      return;
    }
    if (this.#apply(event)) this.#listener.news();
  }

  #tell(kind: WriteKind, drifts: readonly (Drift | undefined)[]): void {
    const told = drifts.filter((drift) => drift !== undefined);
    if (told.length > 0) this.#listener.drifted(told, kind);
  }

  /** Gives whether there may be work because of it. */
  #apply(event: KernelEvent): boolean {
    if (event.type === 'resync') {
      this.#needsListing = true;
      return true;
    }
    switch (event.kind) {
      case 'link':
        this.#linkChanged(event.type, event.object);
        break;
      case 'address':
        // Without nexthop objects the last IPv4 address of a link takes its routes along, in silence.
        if (event.type === 'delete' && !this.#hasNexthopObjects) this.#needsListing = true;
        this.#listener.waysChanged();
        this.#tell('address', [this.addresses.seen(event.type, event.object).drift]);
        break;
      case 'route': {
        const { drift, unclear, foreign } = this.routes.seen(event);
        this.#tell('route', [drift]);
        if (unclear) this.#needsListing = true;
        if (foreign) this.#listener.waysChanged();
        break;
      }
      case 'nexthop': {
        const { drift, unclear } = this.nexthops.seen(event);
        this.#tell('nexthop', [drift]);
        if (unclear) this.#needsListing = true;
        break;
      }
      case 'rule':
        this.#tell('rule', [this.rules.seen(event)]);
        break;
      case 'neighbour': {
        // Most are of the kernel's own doing, many a second on a busy link.
        const { drift, isNews } = this.neighbours.seen(event.type, event.object);
        this.#tell('neighbour', [drift]);
        return isNews;
      }
      case 'fdb':
        return false;
    }
    return true;
  }

  #linkChanged(type: 'put' | 'delete', link: Link): void {
    const names = type === 'put' ? this.links.set(link) : this.links.delete(link.index);
    if (names.length === 0) return;
    this.#listener.linksChanged(names, false);
    this.#listener.waysChanged();
  }
}
