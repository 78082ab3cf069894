// A feed table and its mirror, through real message bytes: after any changes, reconnects and restarts of the server the
// view holds exactly what the table holds, group ids aside, and every change was reported.

import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FeedEvent, FeedGroup } from '../../lib/feed/feed.ts';
import { decodeFeedEvent, encodeFeedEvent, splitFeedEvent } from '../../lib/feed/feed-codec.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import { WatchResponseSchema } from '../../proto/gen/gingham/routefeed/v1/routefeed_pb.ts';

const PREFIXES = ['0.0.0.0/0', '10.5.1.0/24', '10.5.2.0/23', '10.5.4.7/32', '::/0', 'fd00:5::/48', 'fd00::1/128'].map(
  prefix,
);

const id = fc.integer({ min: 1, max: 4 });
const prefixes = fc.uniqueArray(fc.constantFrom(...PREFIXES), { maxLength: 5 });
const step = fc.oneof(
  fc.record({ do: fc.constant('group' as const), id, node: fc.constantFrom('', 'a', 'b'), hop: fc.nat(2) }),
  fc.record({ do: fc.constant('remove' as const), id }),
  fc.record({ do: fc.constant('routes' as const), id, prefixes }),
  fc.record({ do: fc.constant('withdraw' as const), prefixes }),
  fc.record({ do: fc.constant('reconnect' as const) }),
  fc.record({ do: fc.constant('restart' as const), shift: fc.integer({ min: 1, max: 3 }), known: fc.nat(4) }),
  fc.record({ do: fc.constant('in-sync' as const) }),
);

it('holds what the table holds', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const view = new FeedView();
      const copy = new Map<Prefix, string>();
      let table = new FeedTable();
      let leave = follow(table, view, copy);
      for (const each of steps) {
        switch (each.do) {
          case 'group':
            table.setGroup(groupOf(each.id, each.node, each.hop));
            break;
          case 'remove':
            table.removeGroup(each.id);
            break;
          case 'routes':
            if (table.groups.has(each.id)) table.setRoutes(each.id, each.prefixes);
            break;
          case 'withdraw':
            table.withdraw(each.prefixes);
            break;
          case 'in-sync':
            table.markInSync();
            break;
          case 'restart':
            table = restarted(table, each.shift, each.known);
            leave();
            leave = follow(table, view, copy);
            break;
          case 'reconnect':
            leave();
            leave = follow(table, view, copy);
            break;
        }
        // Whatever was reported is all that changed.
        expect(routesOf(view)).toEqual(copy);
      }
      table.markInSync();
      expect(view.synced).toBe(true);
      expect(view.staleCount).toBe(0);
      expect(routesOf(view)).toEqual(routesOf(table));
      expect([...view.groups.values()].map(contentOf).sort()).toEqual([...table.groups.values()].map(contentOf).sort());
    }),
    { numRuns: 400 },
  );
});

/** Feeds the view from the table as a new call would; `copy` is kept by what the view reports alone. */
function follow(table: FeedTable, view: FeedView, copy: Map<Prefix, string>): () => void {
  const take = (event: FeedEvent): void => {
    for (const part of splitFeedEvent(event)) {
      const bytes = toBinary(WatchResponseSchema, encodeFeedEvent(part));
      const decoded = decodeFeedEvent(fromBinary(WatchResponseSchema, bytes));
      if ('error' in decoded) throw new Error(decoded.error);
      const change = view.apply(decoded);
      if ('error' in change) throw new Error(change.error);
      const touched = new Set(change.prefixes);
      for (const group of change.groups) for (const each of view.prefixesOf(group)) touched.add(each);
      for (const each of touched) {
        const group = view.groupOf(each);
        if (group === undefined) copy.delete(each);
        else copy.set(each, contentOf(view.groups.get(group) as FeedGroup));
      }
    }
  };
  view.beginSync();
  for (const event of table.snapshot()) take(event);
  return table.subscribe(take);
}

/** A server that numbers its groups anew and has, so far, learned of some of them only. */
function restarted(table: FeedTable, shift: number, known: number): FeedTable {
  const successor = new FeedTable();
  for (const group of [...table.groups.values()].slice(0, known)) {
    const newId = ((group.id + shift) % 5) + 1;
    if (successor.groups.has(newId)) continue;
    successor.setGroup({ ...group, id: newId });
    successor.setRoutes(newId, table.prefixesOf(group.id));
  }
  return successor;
}

function groupOf(groupId: number, node: string, hop: number): FeedGroup {
  const nextHops = [{ gateway: address(`192.0.2.${hop + 1}`), device: 'eth0', onlink: false, weight: 1 }];
  const endpoint = node === '' ? {} : { endpoint: address('192.0.2.9') };
  return { id: groupId, kind: 'unicast', nextHops, local: false, node, ...endpoint };
}

function contentOf({ kind, local, node, endpoint, nextHops }: FeedGroup): string {
  const hops = nextHops.map(({ gateway, device, onlink, weight }) => [gateway, device, onlink, weight]);
  return JSON.stringify([kind, local, node, endpoint, hops]);
}

function routesOf(of: FeedView | FeedTable): Map<Prefix, string> {
  const routes = new Map<Prefix, string>();
  for (const [groupId, group] of of.groups)
    for (const each of of.prefixesOf(groupId)) routes.set(each, contentOf(group));
  return routes;
}
