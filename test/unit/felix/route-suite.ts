// The route suite: everything that a feed can make felix do (routes, neighbours, addresses), step by step, and what the
// kernel must hold after each.
//
// The same steps run undisturbed, once per injected failure (injected-failures.test.ts), and on the real kernel with
// system calls that fail (test/contract/felix-syscalls.test.ts). Device names and gateways suit both.

import type { FeedGroup } from '../../../lib/feed/feed.ts';
import type { FeedTable } from '../../../lib/feed/feed-table.ts';
import { address } from '../../../lib/net/address.ts';
import { mac } from '../../../lib/net/mac.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { ecmpGroup, localGroup, subnet, vtepGroup } from './felix-bench.ts';

export interface SuiteStep {
  readonly name: string;
  /** Changes the feed. */
  readonly change: (feed: FeedTable) => void;
  /** Destination and what follows from it, of every route of ours afterwards: see `shownAs`. */
  readonly wanted: Readonly<Record<string, string>>;
  /** Neighbours and addresses of ours afterwards, sorted; absent: none. */
  readonly onLinks?: readonly string[];
}

const LOCAL = { '10.5.1.0/24': 'blackhole' };
const FIRST = { ...LOCAL, '10.5.2.0/24': '10.5.2.0', '10.5.3.0/24': '10.5.3.0' };
const ECMP = { ...FIRST, '10.5.4.0/24': '192.0.2.2 192.0.2.3', '10.5.5.0/24': '192.0.2.2 192.0.2.3' };

const ALL = { ...FIRST, '10.5.4.0/24': '192.0.2.3', '10.5.5.0/24': '192.0.2.3', '10.5.6.7/32': '192.0.2.8' };
const podOnLinks = (end: string): readonly string[] => [
  `10.5.1.9 0a:58:0a:05:01:${end}`,
  '169.254.1.1',
  `fd00:5:1::9 0a:58:0a:05:01:${end}`,
  'fe80::1',
];

/** A gateway whose device felix has to ask the kernel for. */
function nearGroup(id: number): FeedGroup {
  const nextHops = [{ gateway: address('192.0.2.8'), onlink: false, weight: 1 }];
  return { id, kind: 'unicast', nextHops, local: false, node: '' };
}

/** A pod without a bridge, behind the card; as flanneld makes it of the plugin's record. */
export function podGroup(id: number, device = 'eth0', podMac = '0a:58:0a:05:01:09'): FeedGroup {
  const neighbours = ['10.5.1.9', 'fd00:5:1::9'].map((text) => ({ address: address(text), mac: mac(podMac) }));
  const attachment = { device, addresses: [address('169.254.1.1'), address('fe80::1')], neighbours };
  const nextHops = [{ device, onlink: false, weight: 1 }];
  return { id, kind: 'unicast', nextHops, local: true, node: 'me', attachment };
}

export const ROUTE_SUITE: readonly SuiteStep[] = [
  {
    name: 'own subnet and two nodes',
    change(feed) {
      feed.setGroup(localGroup(1));
      feed.setRoutes(1, [subnet(1)]);
      for (const id of [2, 3]) {
        feed.setGroup(vtepGroup(id));
        feed.setRoutes(id, [subnet(id)]);
      }
      feed.markInSync();
    },
    wanted: FIRST,
  },
  {
    name: 'two routes with two next hops',
    change(feed) {
      feed.setGroup(ecmpGroup(4, '192.0.2.2', '192.0.2.3'));
      feed.setRoutes(4, [subnet(4), subnet(5)]);
    },
    wanted: ECMP,
  },
  {
    name: 'one next hop is lost',
    change: (feed) => feed.setGroup(ecmpGroup(4, '192.0.2.3')),
    wanted: { ...FIRST, '10.5.4.0/24': '192.0.2.3', '10.5.5.0/24': '192.0.2.3' },
  },
  {
    name: 'a gateway without a device, and a host route',
    change(feed) {
      feed.setGroup(nearGroup(6));
      feed.setRoutes(6, [prefix('10.5.6.7/32')]);
    },
    wanted: ALL,
  },
  {
    name: 'a pod is plugged in: a route by its interface, two neighbours, two addresses',
    change(feed) {
      feed.setGroup(podGroup(8));
      feed.setRoutes(8, [prefix('10.5.1.9/32')]);
    },
    wanted: { ...ALL, '10.5.1.9/32': 'eth0' },
    onLinks: podOnLinks('09'),
  },
  {
    name: 'the pod has another MAC address and one address less',
    change(feed) {
      const group = podGroup(8, 'eth0', '0a:58:0a:05:01:0a');
      const { attachment } = group;
      if (attachment === undefined) throw new Error('the group has no attachment');
      const [first] = attachment.addresses;
      feed.setGroup({ ...group, attachment: { ...attachment, addresses: first === undefined ? [] : [first] } });
    },
    wanted: { ...ALL, '10.5.1.9/32': 'eth0' },
    onLinks: podOnLinks('0a').filter((line) => line !== 'fe80::1'),
  },
  {
    name: 'the pod is unplugged',
    change(feed) {
      feed.withdraw([prefix('10.5.1.9/32')]);
      feed.removeGroup(8);
    },
    wanted: ALL,
  },
  {
    name: 'a route moves to another node, and one becomes unreachable',
    change(feed) {
      feed.setRoutes(2, [subnet(5)]);
      feed.setGroup({ id: 7, kind: 'unreachable', nextHops: [], local: false, node: '' });
      feed.setRoutes(7, [subnet(3)]);
    },
    wanted: {
      ...LOCAL,
      '10.5.2.0/24': '10.5.2.0',
      '10.5.3.0/24': 'unreachable',
      '10.5.4.0/24': '192.0.2.3',
      '10.5.5.0/24': '10.5.2.0',
      '10.5.6.7/32': '192.0.2.8',
    },
  },
  {
    name: 'most of it is withdrawn',
    change: (feed) => {
      feed.withdraw([subnet(2), subnet(3), subnet(4), prefix('10.5.6.7/32')]);
    },
    wanted: { ...LOCAL, '10.5.5.0/24': '10.5.2.0' },
  },
];
