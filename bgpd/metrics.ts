// Prometheus metrics of bgpd, as the calls that its parts make when something happens.
//
// Gauges are set where things change; nothing is computed at scrape time.

import type { Metrics } from '../lib/run/status-server.ts';
import type { Message } from './session/message.ts';

export interface BgpdMetrics {
  message(direction: 'sent' | 'received', type: Message['type'], count?: number): void;
  /** An UPDATE was treated as withdraw. */
  flawed(): void;
  /** An UPDATE had passed this node, its AS or its cluster already. */
  looped(): void;
  malformedRecord(): void;
  sessionEnded(): void;
  /** Some session's state has another name. */
  sessionChanged(): void;
  readonly peers: (known: number, established: number) => void;
  readonly routes: (candidates: number, served: number, originated: number) => void;
}

/** Registers them; `onSessionChange` is called where the counts of peers must be set anew. */
export function bgpdMetrics(metrics: Metrics, onSessionChange: () => void): BgpdMetrics {
  const messages = metrics.counter('messages_total', 'Session messages by direction and type', ['direction', 'type']);
  const flaws = metrics.counter('updates_flawed_total', 'Updates that were treated as withdraw');
  const loops = metrics.counter(
    'updates_looped_total',
    'Updates that were not used because they had passed this node, its AS or its cluster already',
  );
  const malformed = metrics.counter('node_records_malformed_total', 'Node records of the registry that were skipped');
  const ended = metrics.counter('sessions_ended_total', 'Sessions that were established and ended');
  const peers = metrics.gauge('peers', 'Known peers');
  const established = metrics.gauge('peers_established', 'Peers with an established session');
  const prefixes = metrics.gauge('loc_rib_prefixes', 'Prefixes with at least one candidate path');
  const served = metrics.gauge('feed_routes', 'Prefixes served in the route feed');
  const originated = metrics.gauge('originated_prefixes', 'Prefixes that start on this node');
  return {
    message: (direction, type, count = 1) => messages.inc({ direction, type }, count),
    flawed: () => flaws.inc(),
    looped: () => loops.inc(),
    malformedRecord: () => malformed.inc(),
    sessionEnded: () => ended.inc(),
    sessionChanged: onSessionChange,
    peers(known, up) {
      peers.set(known);
      established.set(up);
    },
    routes(candidates, inFeed, own) {
      prefixes.set(candidates);
      served.set(inFeed);
      originated.set(own);
    },
  };
}
