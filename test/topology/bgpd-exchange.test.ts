// Real bgpd processes exchange routes over gRPC: two and three of them, with an etcd and flannelds that the test plays.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { BgpdCluster } from './bgpd-cluster.ts';

let cluster: BgpdCluster;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
});

afterEach(() => cluster.stop());

describe('two nodes', () => {
  test('announce, withdraw, announce again', async () => {
    const [a, b] = await Promise.all([cluster.node(2, [3]), cluster.node(3, [2])]);
    a.originate([prefix('10.5.2.0/24')]);
    b.originate([prefix('10.5.3.0/24')]);
    await eventually('a has the route to b', () => a.gateways('10.5.3.0/24')?.join() === '10.5.3.0', {
      timeoutMs: 15_000,
    });
    await eventually('b has the route to a', () => b.gateways('10.5.2.0/24')?.join() === '10.5.2.0');
    console.log(a.output, b.output, await a.http('/status'), await a.http('/readyz'));
    expect(1).toBe(1);
  });
});
