// A `Kernel` in memory: with the real one's state and refusals (kernel-state.ts), failures to order, a record of what was
// written, and changes by "somebody else".
//
// A test can say: the kernel now holds X (`routes()` and the like), nothing was touched (`writes` is empty), and the
// failure that it ordered did happen (`assertFailuresConsumed`). Events come a microtask later, never inside `apply`.

import { constants } from 'node:os';
import {
  type ErrnoName,
  type FdbEntry,
  type Kernel,
  type KernelChange,
  KernelError,
  type KernelEvent,
  type KernelFailure,
  type KernelKind,
  type KernelObjects,
  type Link,
  type LinkAddress,
  type ListFilter,
  type Neighbour,
  type Nexthop,
  type Route,
  type Rule,
} from '../../lib/kernel/kernel.ts';
import {
  type DecodedObject,
  describeChange,
  invalidValue,
  isAlreadySo,
  passesFilter,
} from '../../lib/kernel/kernel-requests.ts';
import { type Address, familyOf } from '../../lib/net/address.ts';
import { comparePrefixes } from '../../lib/net/prefix.ts';
import type { Refusal } from './kernel-routes.ts';
import { KernelState } from './kernel-state.ts';

/** What can be made to fail: one change of a kind, a whole listing, or a whole call. */
export type FakeOperation =
  | `put ${KernelKind}`
  | `delete ${KernelKind}`
  | `list ${KernelKind}`
  | 'apply'
  | 'subscribe'
  | 'routeTo';

export interface FailureOptions {
  /** How often; once by default. */
  readonly times?: number;
  /** For `apply`: how many changes are made before the call fails; none by default. */
  readonly afterChanges?: number;
  /** For a change: only one for which this holds fails. */
  readonly matching?: (change: KernelChange) => boolean;
}

interface OrderedFailure {
  readonly operation: FakeOperation;
  readonly code: ErrnoName | KernelError['code'];
  readonly options: FailureOptions;
  left: number;
}

interface Subscription {
  readonly kinds: ReadonlySet<KernelKind>;
  readonly listener: (event: KernelEvent) => void;
}

export class FakeKernel implements Kernel {
  readonly #subscriptions = new Set<Subscription>();
  #failures: OrderedFailure[] = [];
  #writes: KernelChange[] = [];
  #listings: KernelKind[] = [];
  /** Set before the first subscription: subscribers then hear nothing of routes that `apply` writes. */
  mutesOwnRoutes = false;
  #applying = false;
  #losing = false;
  #closed = false;
  readonly #state = new KernelState((event) => this.#emit(event));

  // What a test orders.

  /**
   * Makes the next such operation fail: a change with an errno name, a listing or a whole call with the code of a
   * `KernelError` (`dump-interrupted`, `socket`, `permission`, `unsupported`).
   */
  failNext(operation: FakeOperation, code: ErrnoName | KernelError['code'], options: FailureOptions = {}): void {
    this.#failures.push({ operation, code, options, left: options.times ?? 1 });
  }

  /** Throws unless every ordered failure has happened as often as ordered. */
  assertFailuresConsumed(): void {
    const left = this.#failures.map((failure) => `${failure.operation}: ${failure.code} (${failure.left} left)`);
    if (left.length > 0) throw new Error(`ordered failures that did not happen: ${left.join(', ')}`);
  }

  /** A device that was not made through this interface, such as a network card. Returned as it now is. */
  addLink(properties: Pick<Link, 'name'> & Partial<Link>): Link {
    return this.#state.addLink(properties);
  }

  /** Changes by somebody else: subscribers hear of them, `writes` does not. Throws where the kernel refuses one. */
  foreign(...changes: readonly KernelChange[]): void {
    for (const change of changes) {
      const refusal = this.#change(change);
      if (refusal !== undefined && !isAlreadySo(change, refusal.code)) {
        throw new Error(`${describeChange(change)}: ${refusal.code} ${refusal.message ?? ''}`);
      }
    }
  }

  /** Runs `body` while every notification is lost; then subscribers get the `resync` that says so. */
  loseNotifications(body: () => void): void {
    this.#losing = true;
    try {
      body();
    } finally {
      this.#losing = false;
    }
    this.#emit({ type: 'resync' });
  }

  // What a test looks at.

  /** Every change that was handed to `apply`, the refused ones included, in order. */
  get writes(): readonly KernelChange[] {
    return this.#writes;
  }

  /** The kinds that were listed, in order. */
  get listings(): readonly KernelKind[] {
    return this.#listings;
  }

  /** Forgets `writes` and `listings`. */
  clearRecords(): void {
    this.#writes = [];
    this.#listings = [];
  }

  links(): Link[] {
    return [...this.#state.links.values()];
  }

  link(name: string): Link | undefined {
    return this.#state.linkNamed(name);
  }

  addresses(): LinkAddress[] {
    return [...this.#state.addresses.values()];
  }

  /** Of all tables, or those that carry this protocol; sorted by table, prefix and metric. */
  routes(protocol?: number): Route[] {
    const all = [...this.#state.routes.routes.values()].sort(
      (a, b) => a.table - b.table || comparePrefixes(a.prefix, b.prefix) || a.metric - b.metric,
    );
    return protocol === undefined ? all : all.filter((route) => route.protocol === protocol);
  }

  nexthops(): Nexthop[] {
    return [...this.#state.routes.nexthops.values()].sort((a, b) => a.id - b.id);
  }

  rules(): Rule[] {
    return [...this.#state.rules.values()];
  }

  neighbours(): Neighbour[] {
    return [...this.#state.neighbours.values()];
  }

  fdb(): FdbEntry[] {
    return [...this.#state.fdb.values()];
  }

  get subscriberCount(): number {
    return this.#subscriptions.size;
  }

  // Kernel.

  async list<K extends KernelKind>(kind: K, filter: ListFilter = {}): Promise<KernelObjects[K][]> {
    this.#assertOpen();
    this.#listings.push(kind);
    this.#throwOrdered(`list ${kind}`);
    const found = this.#objects(kind).filter((object) => {
      if (!passesFilter({ kind, gone: false, object } as DecodedObject, filter)) return false;
      return kind !== 'nexthop' || filter.family === undefined || (object as Nexthop).family === filter.family;
    });
    return structuredClone(found) as KernelObjects[K][];
  }

  async apply(changes: readonly KernelChange[]): Promise<readonly (KernelFailure | undefined)[]> {
    this.#assertOpen();
    const failing = this.#takeFailure('apply');
    const made = failing === undefined ? changes : changes.slice(0, failing.options.afterChanges ?? 0);
    const results = made.map((change) => this.#applyOne(change));
    if (failing !== undefined) throw kernelError('apply', failing.code);
    return results;
  }

  async subscribe(kinds: readonly KernelKind[], listener: (event: KernelEvent) => void): Promise<() => void> {
    this.#assertOpen();
    this.#throwOrdered('subscribe');
    const subscription = { kinds: new Set(kinds), listener };
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  async routeTo(
    address: Address,
  ): Promise<{ readonly linkIndex: number; readonly gateway?: Address; readonly source?: Address } | undefined> {
    this.#assertOpen();
    this.#throwOrdered('routeTo');
    const route = this.#state.routes.lookUp(address);
    const hop = route && this.#state.routes.hopsOf(route)[0];
    if (route?.type !== 'unicast' || hop?.linkIndex === undefined) return undefined;
    const { linkIndex, gateway } = hop;
    const own = this.addresses().find(
      (own) => own.linkIndex === linkIndex && familyOf(own.address) === familyOf(address),
    );
    const source = route.source ?? own?.address;
    return { linkIndex, ...(gateway && { gateway }), ...(source && { source }) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#subscriptions.clear();
  }

  #applyOne(change: KernelChange): KernelFailure | undefined {
    this.#writes.push(structuredClone(change));
    const ordered = this.#takeFailure(`${change.op} ${change.kind}`, change);
    this.#applying = true;
    const refusal = ordered === undefined ? this.#change(change) : { code: ordered.code };
    this.#applying = false;
    if (refusal === undefined || isAlreadySo(change, refusal.code)) return undefined;
    const errno = constants.errno[refusal.code as keyof typeof constants.errno] ?? 0;
    return { errno, what: describeChange(change), ...refusal };
  }

  #change(change: KernelChange): Refusal {
    const invalid = invalidValue(change);
    if (invalid !== undefined) return { code: 'EINVAL', message: invalid };
    const put = change.op === 'put';
    const state = this.#state;
    switch (change.kind) {
      case 'link':
        return change.op === 'put' ? state.putLink(change.link) : state.deleteLink(change.name);
      case 'address':
        return put ? state.putAddress(change.address) : state.deleteAddress(change.address);
      case 'route':
        return change.op === 'put' ? state.routes.putRoute(change.route) : state.routes.deleteRoute(change.route);
      case 'nexthop':
        return change.op === 'put' ? state.routes.putNexthop(change.nexthop) : state.routes.deleteNexthop(change.id);
      case 'rule':
        return put ? state.putRule(change.rule) : state.deleteRule(change.rule);
      case 'neighbour':
        return put ? state.putNeighbour(change.neighbour) : state.deleteNeighbour(change.neighbour);
      case 'fdb':
        return put ? state.putFdb(change.fdb) : state.deleteFdb(change.fdb);
    }
  }

  #objects(kind: KernelKind): readonly KernelObjects[KernelKind][] {
    switch (kind) {
      case 'link':
        return this.links();
      case 'address':
        return this.addresses();
      case 'route':
        return this.routes();
      case 'nexthop':
        return this.nexthops();
      case 'rule':
        return this.rules();
      case 'neighbour':
        return this.neighbours();
      case 'fdb':
        return this.fdb();
    }
  }

  #emit(event: KernelEvent): void {
    if (this.#losing) return;
    if (this.mutesOwnRoutes && this.#applying && event.type !== 'resync' && event.kind === 'route') return;
    for (const subscription of this.#subscriptions) {
      if (event.type !== 'resync' && !subscription.kinds.has(event.kind)) continue;
      queueMicrotask(() => {
        if (this.#subscriptions.has(subscription)) subscription.listener(structuredClone(event));
      });
    }
  }

  #takeFailure(operation: FakeOperation, change?: KernelChange): OrderedFailure | undefined {
    const failure = this.#failures.find(
      (ordered) =>
        ordered.operation === operation && (change === undefined || (ordered.options.matching?.(change) ?? true)),
    );
    if (failure === undefined) return undefined;
    failure.left--;
    if (failure.left === 0) this.#failures = this.#failures.filter((other) => other !== failure);
    return failure;
  }

  #throwOrdered(operation: FakeOperation): void {
    const failure = this.#takeFailure(operation);
    if (failure !== undefined) throw kernelError(operation, failure.code);
  }

  #assertOpen(): void {
    if (this.#closed) throw new KernelError('socket', 'the kernel handle is closed');
  }
}

function kernelError(operation: FakeOperation, code: string): KernelError {
  return new KernelError(code as KernelError['code'], `${operation}: ${code} (ordered by the test)`);
}
