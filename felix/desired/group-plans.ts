// The groups of the feed as plans, one for each family of routes: which hop objects, which group object, and what every
// route of the group says. Pure: it edits the desired side of the tracker of nexthop objects. Not the routes themselves.
//
// The confusing thing: the shape of a plan's routes is the id of its group object, not its next hops. Next hops that
// change leave the shape as it is, and so the routes; without nexthop objects the next hops *are* the shape.

import type { DeltaTracker, TrackedSide } from '../../lib/delta-tracker.ts';
import { type Nexthop, PROTOCOL_GINGHAM, type RouteNextHop } from '../../lib/kernel/kernel.ts';
import type { Address, Family } from '../../lib/net/address.ts';
import { type FibKey, type RouteBody, sameRoute } from './fib-entry.ts';
import { assignGroupIds } from './group-ids.ts';
import { HopTable } from './hop-table.ts';
import type { LinkTable } from './link-table.ts';
import type { WantedRoutes } from './merged-feeds.ts';
import { FORWARD_METRIC } from './ownership.ts';
import { type PathPlan, planPaths } from './path-plan.ts';

const NO_HOPS: readonly RouteNextHop[] = [];

/** What the operator wants of every route: the routing table, and of those that lead somewhere the MTU. */
export interface EveryRoute {
  readonly table: number;
  readonly mtuBytes?: number;
}

/** What every route of ours has in common. */
const OURS = { tos: 0, protocol: PROTOCOL_GINGHAM } as const;

/** One group of the feed, for the routes of one family. */
export interface GroupPlan {
  readonly group: number;
  readonly family: Family;
  /** Number of its routes; kept by the owner. */
  routeCount: number;
  /** What its routes say; `undefined` while it has none in the kernel, and then `waitingFor` says why. */
  readonly shape: RouteBody | undefined;
  readonly waitingFor: string | undefined;
  /** Id of its group object, once it has one. */
  readonly nexthopId: number | undefined;
}

type Held = { -readonly [K in keyof GroupPlan]: GroupPlan[K] } & {
  paths: PathPlan;
  /** Names of the hops that it uses. */
  hops: readonly string[];
};

export interface GroupPlansOptions {
  readonly view: WantedRoutes;
  readonly links: LinkTable;
  readonly nexthops: DeltaTracker<number, Nexthop>;
  /** The routes of ours in the kernel. */
  readonly routesInKernel: () => TrackedSide<FibKey, RouteBody>;
  /** Keys of the routes of a plan. */
  readonly keysOf: (plan: GroupPlan) => Iterable<FibKey>;
  /** Whether an id is taken by a nexthop object that is not ours. */
  readonly isForeignNexthop: (id: number) => boolean;
  readonly every: EveryRoute;
}

/** A plan whose routes must be written, and the metric that they had. */
export interface ReshapedPlan {
  readonly plan: GroupPlan;
  readonly formerMetric: number | undefined;
}

export class GroupPlans {
  readonly #options: GroupPlansOptions;
  readonly #hops: HopTable;
  readonly #plans: Readonly<Record<Family, Map<number, Held>>> = { 4: new Map(), 6: new Map() };
  readonly #groupIds = new Set<number>();
  readonly #dirty = new Set<Held>();
  readonly #gatewayLinks = new Map<Address, number | undefined>();
  readonly #unknownGateways = new Set<Address>();
  #usesObjects = true;

  constructor(options: GroupPlansOptions) {
    this.#options = options;
    this.#hops = new HopTable(options.nexthops, options.isForeignNexthop);
  }

  get hopCount(): number {
    return this.#hops.size;
  }

  get unknownGateways(): ReadonlySet<Address> {
    return this.#unknownGateways;
  }

  get gateways(): Iterable<Address> {
    return this.#gatewayLinks.keys();
  }

  get usesObjects(): boolean {
    return this.#usesObjects;
  }

  *all(): Iterable<GroupPlan> {
    yield* this.#plans[4].values();
    yield* this.#plans[6].values();
  }

  useNexthopObjects(available: boolean): void {
    this.#usesObjects = available;
  }

  markGroup(group: number): void {
    for (const family of [4, 6] as const) {
      const plan = this.#plans[family].get(group);
      if (plan !== undefined) this.#dirty.add(plan);
    }
  }

  markAll(): void {
    for (const family of [4, 6] as const) for (const plan of this.#plans[family].values()) this.#dirty.add(plan);
  }

  setGatewayLink(gateway: Address, linkIndex: number | undefined): void {
    this.#unknownGateways.delete(gateway);
    if (this.#gatewayLinks.has(gateway) && this.#gatewayLinks.get(gateway) === linkIndex) return;
    this.#gatewayLinks.set(gateway, linkIndex);
    this.markAll();
  }

  setHopRefused(id: number, refused: boolean): void {
    if (this.#hops.setRefused(id, refused)) this.markAll();
  }

  /** The plan for the routes of one family in a group, made when there is none. */
  planFor(group: number, family: Family): GroupPlan {
    let plan = this.#plans[family].get(group);
    if (plan === undefined) {
      const empty = { shape: undefined, waitingFor: undefined, nexthopId: undefined, hops: [] };
      plan = { group, family, routeCount: 0, paths: { kind: 'waiting', reason: '' }, ...empty };
      this.#plans[family].set(group, plan);
      this.#dirty.add(plan);
    }
    return plan;
  }

  /** Makes every marked plan again; the plans whose routes must be written because they say something else now. */
  settle(emptied: Iterable<GroupPlan>): ReshapedPlan[] {
    this.#hops.forgetAdoptable();
    // Plans without routes go first, so that another plan can take their objects over.
    for (const plan of emptied) if (plan.routeCount === 0) this.#drop(plan as Held);
    const plans = [...this.#dirty];
    this.#dirty.clear();
    for (const plan of plans) this.#resolve(plan);
    if (this.#usesObjects) {
      this.#assignIds(plans.filter(({ paths, nexthopId }) => paths.kind === 'paths' && nexthopId === undefined));
    }
    return plans.flatMap((plan) => {
      const former = plan.shape;
      this.#publish(plan);
      return former === plan.shape ? [] : [{ plan, formerMetric: former?.metric }];
    });
  }

  #drop(plan: Held): void {
    this.#plans[plan.family].delete(plan.group);
    this.#dirty.delete(plan);
    for (const name of plan.hops) this.#hops.release(name);
    if (plan.nexthopId === undefined) return;
    this.#groupIds.delete(plan.nexthopId);
    this.#options.nexthops.deleteDesired(plan.nexthopId);
  }

  #resolve(plan: Held): void {
    const { view, links } = this.#options;
    const group = view.groups.get(plan.group);
    plan.paths =
      group === undefined
        ? { kind: 'waiting', reason: 'its group is not known' }
        : planPaths(group, plan.family, {
            link: (name) => links.get(name),
            gatewayLink: (gateway) => this.#gatewayLink(gateway),
            needsCarrier: this.#usesObjects,
          });
    const hops = plan.paths.kind === 'paths' && this.#usesObjects ? plan.paths.hops : [];
    // First the new users, then the former ones: a hop that stays keeps its object.
    for (const hop of hops) this.#hops.acquire(hop);
    for (const name of plan.hops) this.#hops.release(name);
    plan.hops = hops.map((hop) => hop.name);
  }

  #gatewayLink(gateway: Address): number | undefined {
    if (!this.#gatewayLinks.has(gateway)) this.#unknownGateways.add(gateway);
    return this.#gatewayLinks.get(gateway);
  }

  #assignIds(plans: readonly Held[]): void {
    if (plans.length === 0) return;
    const { routesInKernel, nexthops, keysOf, isForeignNexthop } = this.#options;
    const claims = plans.map((plan) => ({
      text: `${plan.family} ${plan.hops.join(', ')}`,
      group: this.#members(plan),
      routes: () => keysOf(plan),
    }));
    const ids = assignGroupIds(claims, {
      routes: routesInKernel(),
      nexthops: nexthops.dataplane,
      isTaken: (id) => this.#groupIds.has(id) || isForeignNexthop(id),
    });
    for (const [at, plan] of plans.entries()) {
      const id = ids[at] as number;
      plan.nexthopId = id;
      this.#groupIds.add(id);
    }
  }

  /** The members of the plan's group object: every hop that the kernel has not refused. */
  #members({ paths }: Held): { readonly id: number; readonly weight: number }[] {
    if (paths.kind !== 'paths') return [];
    return paths.hops.flatMap(({ name, weight }) => {
      const id = this.#hops.usableId(name);
      return id === undefined ? [] : [{ id, weight }];
    });
  }

  /** Writes the plan's group object and says what its routes say. */
  #publish(plan: Held): void {
    const { nexthops } = this.#options;
    const { nexthopId: id, family } = plan;
    const members = this.#members(plan);
    if (id !== undefined && members.length === 0) nexthops.deleteDesired(id);
    if (id !== undefined && members.length > 0) {
      nexthops.setDesired(id, { id, protocol: PROTOCOL_GINGHAM, family, group: members });
    }
    const shape = this.#shapeOf(plan, members.length);
    // As long as it says the same it is the same object: what is compared is mostly that.
    if (!sameShape(plan.shape, shape)) plan.shape = shape;
    plan.waitingFor =
      plan.shape !== undefined
        ? undefined
        : plan.paths.kind === 'waiting'
          ? plan.paths.reason
          : 'the kernel refuses every next hop';
  }

  #shapeOf({ paths, family, nexthopId }: Held, memberCount: number): RouteBody | undefined {
    const metric = FORWARD_METRIC[family];
    const { every } = this.#options;
    if (paths.kind === 'drop')
      return { ...OURS, table: every.table, type: paths.type, metric: paths.metric, nextHops: NO_HOPS };
    if (paths.kind === 'waiting') return undefined;
    if (!this.#usesObjects) {
      return {
        ...OURS,
        ...every,
        type: 'unicast',
        metric,
        nextHops: paths.hops.map(({ hop, weight }) => ({ ...hop, weight })),
      };
    }
    if (nexthopId === undefined || memberCount === 0) return undefined;
    return { ...OURS, ...every, type: 'unicast', metric, nextHops: NO_HOPS, nexthopId };
  }
}

function sameShape(a: RouteBody | undefined, b: RouteBody | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.metric === b.metric && sameRoute(a, b);
}
