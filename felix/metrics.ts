// felix's Prometheus metrics, and the log line of each pass: what changed in the FIB, why, and how long each stage took.
//
// Gauges are set after each pass; nothing is computed when they are asked for.

import type { FeedState } from '../lib/feed/feed-client.ts';
import type { Logger } from '../lib/run/log.ts';
import type { Metrics } from '../lib/run/status-server.ts';
import type { WriteKind } from './dataplane/kernel-mirror.ts';
import type { Drift } from './dataplane/kernel-table.ts';
import type { EntryCounts } from './dataplane/link-entry-table.ts';
import type { PassSummary } from './dataplane/pass-record.ts';
import type { RouteCounts } from './status.ts';
import type { TrafficState } from './traffic/traffic-keeper.ts';

const APPLY_BUCKETS = [0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const LATENCY_BUCKETS = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10];

/** Causes that the log line names. */
const CAUSES_LOGGED = 5;

const FEED_STATES: readonly FeedState[] = ['connecting', 'syncing', 'in-sync', 'stale'];

export interface FelixMetrics {
  /** A pass is over. */
  pass(summary: PassSummary): void;
  drifted(drifts: readonly Drift[], object: WriteKind): void;
  feedState(feed: string, state: FeedState, losses: number): void;
  counts(counts: RouteCounts): void;
  linkEntries(object: 'neighbour' | 'address', counts: EntryCounts): void;
  /** Deletions that wait because the feed is stale. */
  heldDeletes(count: number): void;
  listings(count: number): void;
  /** The traffic rules: in place or not, and how often they were put back. */
  traffic(state: TrafficState): void;
}

export function felixMetrics(metrics: Metrics): FelixMetrics {
  const gauge = (name: string, help: string) => metrics.gauge(name, help);
  const wanted = gauge('routes_wanted', 'Routes that the feed wants');
  const programmed = gauge('routes_programmed', 'Routes that the kernel has as wanted');
  const failed = metrics.gauge('routes_failed', 'Wanted routes that the kernel does not have, by reason', ['reason']);
  const nexthops = gauge('nexthop_objects', 'Nexthop objects of felix in the kernel');
  const repaired = metrics.counter('repaired_total', 'Changes by others to what is ours, by object and kind', [
    'object',
    'kind',
  ]);
  const entries = metrics.gauge('link_entries', 'Neighbours and addresses of interfaces, by what became of them', [
    'object',
    'state',
  ]);
  const written = metrics.counter('kernel_writes_total', 'Objects written to the kernel', ['kind', 'op']);
  const apply = metrics.histogram('apply_seconds', 'Time of one pass that wrote something', APPLY_BUCKETS);
  const latency = metrics.histogram(
    'failure_to_fib_seconds',
    'From the first sight of a change to the forwarding table, by stage; total is all of them',
    LATENCY_BUCKETS,
    ['stage'],
  );
  const feed = metrics.gauge('feed_state', '1 for the state that the feed is in', ['feed', 'state']);
  const losses = metrics.gauge('feed_losses', 'Times that a standing feed was lost', ['feed']);
  const held = gauge('deletes_held', 'Deletions that wait because the feed is stale');
  const resyncs = gauge('kernel_listings', 'Complete listings of the kernel so far');
  const rules = gauge('traffic_rules_applied', '1 while the table inet gingham is as it should be');
  const rulesRepaired = gauge('traffic_rules_repaired', 'Times that the table inet gingham was put back');
  const dropping = gauge('foreign_forward_drops', 'Chains of others that drop forwarded packets by default');
  return {
    pass(summary) {
      written.inc({ kind: 'route', op: 'put' }, summary.routesPut);
      written.inc({ kind: 'route', op: 'delete' }, summary.routesDeleted);
      written.inc({ kind: 'nexthop', op: 'put' }, summary.nexthopsPut);
      written.inc({ kind: 'nexthop', op: 'delete' }, summary.nexthopsDeleted);
      written.inc({ kind: 'rule', op: 'put' }, summary.rulesPut);
      written.inc({ kind: 'rule', op: 'delete' }, summary.rulesDeleted);
      written.inc({ kind: 'neighbour', op: 'put' }, summary.neighboursPut);
      written.inc({ kind: 'neighbour', op: 'delete' }, summary.neighboursDeleted);
      written.inc({ kind: 'address', op: 'put' }, summary.addressesPut);
      written.inc({ kind: 'address', op: 'delete' }, summary.addressesDeleted);
      apply.observe(summary.applyUs / 1e6);
      for (const cause of summary.causes) {
        latency.observe({ stage: 'rib' }, cause.ribUs / 1e6);
        latency.observe({ stage: 'feed' }, cause.feedUs / 1e6);
        latency.observe({ stage: 'kernel' }, cause.kernelUs / 1e6);
        latency.observe({ stage: 'total' }, cause.totalUs / 1e6);
      }
    },
    drifted: (drifts, object) => {
      for (const kind of drifts) repaired.inc({ object, kind });
    },
    linkEntries(object, counts) {
      for (const [state, count] of Object.entries(counts)) entries.set({ object, state }, count);
    },
    feedState(name, state, lossCount) {
      for (const each of FEED_STATES) feed.set({ feed: name, state: each }, each === state ? 1 : 0);
      losses.set({ feed: name }, lossCount);
    },
    counts(counts) {
      wanted.set(counts.wanted);
      programmed.set(counts.programmed);
      for (const reason of ['waiting', 'blocked', 'refused', 'pending'] as const)
        failed.set({ reason }, counts[reason]);
      nexthops.set(counts.nexthopObjects);
    },
    heldDeletes: (count) => held.set(count),
    listings: (count) => resyncs.set(count),
    traffic({ state, repaired: times, othersDropForwarded }) {
      rules.set(state === 'applied' ? 1 : 0);
      rulesRepaired.set(times);
      dropping.set(othersDropForwarded.length);
    },
  };
}

/** One line for a pass that changed the FIB. Without a cause it was a repair, or what was there to do at the start. */
export function logPass(log: Logger, { causes, moreCauses, ...counts }: PassSummary): void {
  const first = causes[0];
  const shown = causes.slice(0, CAUSES_LOGGED).map(({ id, kind }) => `${id} ${kind}`);
  const stages = first && {
    cause: first.id,
    kind: first.kind,
    ribUs: first.ribUs,
    feedUs: first.feedUs,
    kernelUs: first.kernelUs,
    totalUs: first.totalUs,
  };
  const more = causes.length + moreCauses > 1 ? { causes: shown, causeCount: causes.length + moreCauses } : {};
  log.info({ ...counts, ...stages, ...more }, 'fib changed');
}
