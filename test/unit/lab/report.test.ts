// When a lab counts as converged, and how it is shown.
//
// On made-up views of a three-node cluster.

import { describe, expect, it } from 'vitest';
import { pingReport } from '../../../ctl/pod-ping.ts';
import { type NodeView, whatIsMissing } from '../../../lab/observe.ts';
import { DEFAULT_OPTIONS } from '../../../lab/options.ts';
import { lossLines, statusReport, statusTable } from '../../../lab/report.ts';
import { buildTopology } from '../../../lab/topology.ts';
import { address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';

const TOPOLOGY = buildTopology('default', { ...DEFAULT_OPTIONS, nodes: 3 });
const SUBNETS = ['10.5.1.0/24', '10.5.2.0/24', '10.5.3.0/24'];

describe('whatIsMissing', () => {
  it('is nothing when every daemon is ready and every subnet has a route', () => {
    expect(whatIsMissing(views())).toEqual([]);
  });

  it('does not need a count of peers that nobody gives', () => {
    expect(whatIsMissing(views({ peers: undefined }))).toEqual([]);
  });

  it.each([
    [{ peers: { up: 1, total: 2 } }, '1 of 2 peers are up'],
    [{ routes: ['10.5.1.0/24', '10.5.3.0/24'] }, 'no route to node2 (10.5.2.0/24)'],
    [{ routes: [] }, 'no route to node2 (10.5.2.0/24) and 1 more'],
    [{ subnet: undefined }, 'no subnet is leased'],
    [
      {
        daemons: [{ daemon: 'felix', process: { pid: 7, startTicks: 1 }, ready: false, reason: 'feed: not connected' }],
      },
      'felix is not ready: feed: not connected',
    ],
  ] satisfies [Partial<NodeView>, string][])('%j is missing: %s', (change, reason) => {
    expect(whatIsMissing(views(change))[0]).toBe(`node1: ${reason}`);
  });

  it('sees at one node that another has no subnet', () => {
    expect(whatIsMissing(views({ subnet: undefined }))).toContain('node2: no route to node1 (no subnet)');
  });
});

describe('statusTable', () => {
  const pings = pingReport([
    { from: 'node1', to: 'node2', address: address('10.5.2.2'), sent: 1, received: 1, rttMs: 0.1 },
    { from: 'node1', to: 'node3', address: address('10.5.3.2'), sent: 1, received: 0 },
  ]);

  it('shows one line a node, with a question mark for what nobody says', () => {
    expect(statusTable(views({ peers: undefined, subnet: undefined }), pings)).toEqual([
      'NODE   UNDERLAY       SUBNET       BACKEND  PEERS UP  ROUTES  READY  POD TO POD',
      'node1  192.168.64.11  ?            vxlan         ?/2       3  yes    1/2, 0.10 ms',
      'node2  192.168.64.12  10.5.2.0/24  vxlan         2/2       3  yes    0/0',
      'node3  192.168.65.13  10.5.3.0/24  vxlan         2/2       3  yes    0/0',
    ]);
  });

  it('names the pairs that lost', () => {
    expect(lossLines(pings)).toEqual(['node1 -> node3 (10.5.3.2): 0 of 1 answered']);
    const many = pingReport(
      Array.from({ length: 12 }, () => pings.results[1]).filter((result) => result !== undefined),
    );
    expect(lossLines(many)).toHaveLength(11);
    expect(lossLines(many).at(-1)).toBe('and 2 more');
  });

  it('says the same in JSON', () => {
    const report = statusReport(TOPOLOGY, views({ peers: undefined }), ['node1: x']);
    expect(report).toMatchObject({ lab: 'default', ready: false, missing: ['node1: x'] });
    expect(report.nodes[0]).toEqual({
      node: 'node1',
      underlay: '192.168.64.11',
      subnet: '10.5.1.0/24',
      backend: 'vxlan',
      peersUp: null,
      peersExpected: 2,
      routes: 3,
      daemons: [{ daemon: 'felix', pid: 7, ready: true, reason: '' }],
    });
  });
});

/** A converged cluster but for what is changed at its first node. */
function views(change: Partial<NodeView> = {}): readonly NodeView[] {
  return TOPOLOGY.nodes.map((node, index) => ({
    node,
    subnet: {
      subnet: prefix(`10.5.${index + 1}.0/24`),
      gateway: address(`10.5.${index + 1}.1`),
      mtuBytes: 1450,
      networks: [],
      masquerade: false,
    },
    daemons: [{ daemon: 'felix', process: { pid: 7, startTicks: 1 }, ready: true, reason: '' }],
    routes: SUBNETS,
    peers: { up: 2, total: 2 },
    ...(index === 0 ? change : {}),
  }));
}
