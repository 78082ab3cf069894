// What the kernel should hold: from the feed's groups and routes, and the node's links, to routes and nexthop objects.
// Pure: it edits the desired sides of two trackers; dataplane/reconciler.ts writes the difference.
//
//   feed group --plan, per family--> hop objects (shared) <-- group object <-- routes
//
// Inputs only mark what they touch; `settle` works that off. A group whose next hops changed costs one group object,
// however many routes it has; only what a route itself says (its type, the id it points at) touches the routes.

import type { DeltaTracker } from '../../lib/delta-tracker.ts';
import type { FeedChange } from '../../lib/feed/feed-view.ts';
import type { Nexthop } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import { type Prefix, prefixFamily } from '../../lib/net/prefix.ts';
import { type FibKey, fibKey, type RouteBody } from './fib-entry.ts';
import { type EveryRoute, type GroupPlan, GroupPlans } from './group-plans.ts';
import type { LinkTable } from './link-table.ts';
import type { WantedRoutes } from './merged-feeds.ts';
import { FORWARD_METRIC } from './ownership.ts';

/** Marks before doubles among them are looked for: no feed that flaps makes them grow without bound. */
const DIRTY_MAX = 1_000_000;

export interface DesiredOptions {
  readonly view: WantedRoutes;
  readonly links: LinkTable;
  readonly routes: DeltaTracker<FibKey, RouteBody>;
  readonly nexthops: DeltaTracker<number, Nexthop>;
  /** Whether an id is taken by a nexthop object that is not ours. */
  readonly isForeignNexthop: (id: number) => boolean;
  readonly every: EveryRoute;
}

export class DesiredState {
  readonly #view: WantedRoutes;
  readonly #routes: DeltaTracker<FibKey, RouteBody>;
  readonly #plans: GroupPlans;
  readonly #table: number;
  readonly #planOf = new Map<Prefix, GroupPlan>();
  /** Some of them perhaps more than once. */
  #dirtyPrefixes: Prefix[] = [];
  #dirtyMax = DIRTY_MAX;
  #dirtyPlans = false;

  constructor({ view, links, routes, nexthops, isForeignNexthop, every }: DesiredOptions) {
    this.#table = every.table;
    this.#view = view;
    this.#routes = routes;
    this.#plans = new GroupPlans({
      view,
      links,
      nexthops,
      isForeignNexthop,
      every,
      routesInKernel: () => routes.dataplane,
      keysOf: (plan) => this.#keysOf(plan),
    });
  }

  /** Number of routes that the feed wants, programmed or not. */
  get routeCount(): number {
    return this.#planOf.size;
  }

  get hopCount(): number {
    return this.#plans.hopCount;
  }

  /** Whether routes point at nexthop objects; plain routes otherwise. */
  get usesNexthopObjects(): boolean {
    return this.#plans.usesObjects;
  }

  /** Every group with its state, one for each family of its routes. */
  plans(): Iterable<GroupPlan> {
    return this.#plans.all();
  }

  /** The plan of a wanted route, and the key under which it is or would be in the kernel. */
  lookUp(prefix: Prefix): { readonly plan: GroupPlan; readonly key: FibKey } | undefined {
    const plan = this.#planOf.get(prefix);
    return plan && { plan, key: this.#keyOf(prefix, plan.shape?.metric) };
  }

  /** Gateways without a device whose link is to be found out: answer with `setGatewayLink`, then settle again. */
  get unknownGateways(): ReadonlySet<Address> {
    return this.#plans.unknownGateways;
  }

  /** Every gateway without a device that was answered. */
  get gateways(): Iterable<Address> {
    return this.#plans.gateways;
  }

  /** Nexthop objects (the default), or plain routes where the kernel has none. Call it before the first `settle`. */
  useNexthopObjects(available: boolean): void {
    this.#plans.useNexthopObjects(available);
  }

  /** The feed changed. */
  feedChanged({ groups, prefixes }: FeedChange): void {
    for (const group of groups) this.#plans.markGroup(group);
    for (const prefix of prefixes) this.#dirtyPrefixes.push(prefix);
    if (this.#dirtyPrefixes.length > this.#dirtyMax) {
      this.#dirtyPrefixes = [...new Set(this.#dirtyPrefixes)];
      this.#dirtyMax = DIRTY_MAX + 2 * this.#dirtyPrefixes.length;
    }
    if (groups.length > 0) this.#dirtyPlans = true;
  }

  /** Whether some group of the feed leads through this device, or might: a gateway without a device may use any. */
  usesDevice(name: string): boolean {
    for (const { nextHops } of this.#view.groups.values()) {
      if (nextHops.some(({ device }) => device === name || device === undefined)) return true;
    }
    return false;
  }

  /** Links came, went or changed their state. */
  linksChanged(): void {
    this.#plans.markAll();
    this.#dirtyPlans = true;
  }

  /** The kernel reaches this gateway through that link, or not at all. */
  setGatewayLink(gateway: Address, linkIndex: number | undefined): void {
    this.#plans.setGatewayLink(gateway, linkIndex);
    this.#dirtyPlans = true;
  }

  /** The kernel refused this hop object, or takes it after all: groups go on with the others meanwhile. */
  setHopRefused(id: number, refused: boolean): void {
    this.#plans.setHopRefused(id, refused);
    this.#dirtyPlans = true;
  }

  /** Brings the desired sides of the trackers up to date with all that was marked. */
  settle(): void {
    if (this.#dirtyPrefixes.length === 0 && !this.#dirtyPlans) return;
    this.#dirtyPlans = false;
    const emptied = new Set<GroupPlan>();
    const moved = this.#movePrefixes(emptied);
    const reshaped = new Set<GroupPlan>();
    for (const { plan, formerMetric } of this.#plans.settle(emptied)) {
      reshaped.add(plan);
      this.#rewrite(plan, formerMetric);
    }
    for (const { prefix, formerKey } of moved) {
      const plan = this.#planOf.get(prefix);
      const key = plan?.shape && this.#keyOf(prefix, plan.shape.metric);
      if (formerKey !== undefined && formerKey !== key) this.#routes.deleteDesired(formerKey);
      // With its plan made anew, it has been written just now.
      if (plan?.shape !== undefined && key !== undefined && !reshaped.has(plan)) {
        this.#routes.setDesired(key, plan.shape);
      }
    }
  }

  /** Puts every marked prefix under its present plan; gives those that moved, with the key that they had. */
  #movePrefixes(emptied: Set<GroupPlan>): { readonly prefix: Prefix; readonly formerKey: FibKey | undefined }[] {
    const moved: { readonly prefix: Prefix; readonly formerKey: FibKey | undefined }[] = [];
    for (const prefix of this.#dirtyPrefixes) {
      const group = this.#view.groupOf(prefix);
      const before = this.#planOf.get(prefix);
      const plan = group === undefined ? undefined : this.#plans.planFor(group, prefixFamily(prefix));
      if (plan === before) continue;
      const formerKey = before?.shape && this.#keyOf(prefix, before.shape.metric);
      // A prefix that is new to a plan that is new has nothing to take back: the plan writes it.
      if (formerKey !== undefined || plan?.shape !== undefined) moved.push({ prefix, formerKey });
      if (before !== undefined && --before.routeCount === 0) emptied.add(before);
      if (plan === undefined) this.#planOf.delete(prefix);
      else this.#planOf.set(prefix, plan);
      if (plan !== undefined) plan.routeCount++;
    }
    this.#dirtyPrefixes = [];
    return moved;
  }

  /** Makes the desired routes of a plan what it says now. */
  #rewrite(plan: GroupPlan, formerMetric: number | undefined): void {
    const { shape } = plan;
    for (const prefix of this.#prefixesOf(plan)) {
      const key = shape && this.#keyOf(prefix, shape.metric);
      const formerKey = formerMetric === undefined ? undefined : this.#keyOf(prefix, formerMetric);
      if (formerKey !== undefined && formerKey !== key) this.#routes.deleteDesired(formerKey);
      if (shape !== undefined && key !== undefined) this.#routes.setDesired(key, shape);
    }
  }

  *#prefixesOf({ group, family }: GroupPlan): Iterable<Prefix> {
    for (const prefix of this.#view.prefixesOf(group)) if (prefixFamily(prefix) === family) yield prefix;
  }

  *#keysOf(plan: GroupPlan): Iterable<FibKey> {
    for (const prefix of this.#prefixesOf(plan)) yield this.#keyOf(prefix, undefined);
  }

  #keyOf(prefix: Prefix, metric: number | undefined): FibKey {
    return fibKey({ table: this.#table, prefix, tos: 0, metric: metric ?? FORWARD_METRIC[prefixFamily(prefix)] });
  }
}
