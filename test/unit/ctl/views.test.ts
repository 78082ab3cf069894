// The tables of `gingham nodes`, `peers`, `leases`, `drops`: as a person sees them, in 100 columns.
//
// The answers are made by hand; that the daemons give such answers is shown on a live cluster.

import { expect, it } from 'vitest';
import { ageOf, duration } from '../../../ctl/answer.ts';
import { dropsOfRules, dropsTable } from '../../../ctl/drops.ts';
import { leasesTable } from '../../../ctl/leases.ts';
import { nodesTable } from '../../../ctl/nodes.ts';
import { peersTable } from '../../../ctl/peers.ts';

it('says a duration in its two largest units', () => {
  expect([0, 7, 60, 192, 3_600, 90_061, -5].map(duration)).toEqual(['0s', '7s', '1m', '3m12s', '1h', '1d1h', '0s']);
  expect(ageOf('2030-01-01T00:00:00Z', Date.parse('2030-01-01T00:01:30Z'))).toBe('1m30s');
  expect(ageOf('2030-01-01T00:00:09Z', Date.parse('2030-01-01T00:00:00Z'))).toBe('0s');
});

it('shows why a peer is down, cut to the width of a terminal', () => {
  const since = new Date(Date.now() - 61_000).toISOString();
  const common = { asn: 64512, since, sessions: 1, routesReceived: 3, routesAdvertised: 1 };
  const lines = peersTable({
    ...{ node: 'node1', draining: false, established: 1 },
    peers: [
      { node: 'node2', address: '192.0.2.2', state: 'Established', bfd: 'Up', ...common },
      {
        node: 'node3',
        address: '192.0.2.3',
        state: 'Active',
        bfd: 'Down',
        down: 'refused',
        whyDown: 'no '.repeat(30),
        ...common,
      },
    ],
  });
  expect(lines[0]).toBe('PEER   ADDRESS    STATE        SINCE  IN  OUT  BFD   WHY DOWN');
  expect(lines[1]).toMatch(/^node2 {2}192\.0\.2\.2 {2}Established {2}1m\ds? {3,4}3 {4}1 {2}Up {4}-$/);
  expect(lines[2]).toMatch(/^node3 {2}192\.0\.2\.3 {2}Active .* Down {2}refused: no no .*\.\.\.$/);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  expect(peersTable({ node: 'node1', draining: false, established: 0, peers: [] })).toEqual(['no peers']);
});

it('shows leases, and that they are from memory', () => {
  const lines = leasesTable({
    ...{ node: 'node1', malformed: 1, source: { memorySince: '2030-01-01T00:00:00Z', reason: 'connect ECONNREFUSED' } },
    leases: [
      { node: 'node1', subnet: '10.5.1.0/24', publicIP: '192.0.2.1', own: true, secondsLeft: 3_700, programmed: true },
      { node: 'node2', subnet: '10.5.2.0/24', publicIP: '192.0.2.2', own: false, programmed: false, refused: 'udp' },
    ],
  });
  expect(lines).toEqual([
    'NODE   SUBNET       PUBLIC IP  REACHED  LEFT  NOTE',
    'node1  10.5.1.0/24  192.0.2.1  yes      1h1m  this node',
    'node2  10.5.2.0/24  192.0.2.2  no       -     udp',
    '',
    'from memory since 2030-01-01T00:00:00Z: connect ECONNREFUSED',
    '1 entries in etcd are no leases and are left out',
  ]);
});

it('shows nodes with and without a lease, asked and not asked', () => {
  const nodes = [
    { node: 'node1', publicIP: '192.0.2.1', subnet: '10.5.1.0/24', tunnel: true, session: null, routes: null },
    { node: 'node2', publicIP: '192.0.2.2', subnet: null, tunnel: false, session: 'Active', routes: 0 },
  ];
  expect(nodesTable({ node: 'node1', fromEtcd: false, nodes })).toEqual([
    'NODE   UNDERLAY   SUBNET       REACHED  SESSION    ROUTES',
    'node1  192.0.2.1  10.5.1.0/24  yes      this node  -',
    'node2  192.0.2.2  no lease     no       Active     0',
    '',
    'from memory: etcd does not answer',
  ]);
  const asked = nodes.map((line, index) => ({ ...line, ready: index === 0 ? true : 'no answer' }));
  expect(nodesTable({ node: 'node1', fromEtcd: true, nodes: asked })[2]).toMatch(/Active {5}0 {7}no answer$/);
});

it('reads the counters of rules that drop, and names what it cannot see', () => {
  const rule = (expr: readonly unknown[], comment?: string): unknown => ({
    rule: { chain: 'tunnel', expr, ...(comment && { comment }) },
  });
  const listing = {
    nftables: [
      { metainfo: {} },
      rule([{ counter: { packets: 5, bytes: 1 } }, { drop: null }], 'not a node of the cluster'),
      rule([{ counter: { packets: 9, bytes: 1 } }, { accept: null }]),
    ],
  };
  const drops = dropsOfRules(JSON.stringify(listing));
  expect(drops).toEqual([{ place: 'nftables tunnel', reason: 'not a node of the cluster', count: 5 }]);
  const lines = dropsTable({ drops: [...drops, { place: 'data plane', reason: 'wrong-vni', count: 70 }], notSeen: [] });
  expect(lines).toEqual([
    'COUNT  WHERE            WHY',
    '   70  data plane       wrong-vni',
    '    5  nftables tunnel  not a node of the cluster',
  ]);
  expect(dropsTable({ drops: [], notSeen: [{ place: 'nftables', why: 'nft is not installed' }] })).toEqual([
    'nothing was dropped',
    'not seen: nftables: nft is not installed',
  ]);
});
