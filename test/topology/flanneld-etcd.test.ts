// etcd as a node sees it when it is neither well nor gone: cut off without a word, a leader lost, and a node that stood
// still meanwhile. And dual stack: both subnets of a node in one lease, with packets in both families.

import { afterEach, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { EtcdCluster } from './etcd-cluster.ts';
import { FlanneldRig, firstAddress } from './flanneld-rig.ts';

const NETWORK = { Network: '10.5.0.0/16' };
const PATIENCE = { timeoutMs: 40_000, intervalMs: 50 };

describe('flanneld', () => {
  let rig: FlanneldRig | undefined;
  let cluster: EtcdCluster | undefined;

  afterEach(async () => {
    await rig?.remove();
    await cluster?.stop();
    rig = undefined;
    cluster = undefined;
  });

  test('the stream to etcd cut in silence, a node that stood still for longer than its lease', async () => {
    const made = await FlanneldRig.make(NETWORK);
    rig = made;
    const ttl = ['--subnet-lease-ttl-seconds', '5'];
    for (const node of [1, 2]) made.start(node, ttl);
    made.start(3);
    const before = await Promise.all([1, 2].map(async (node) => (await made.ready(node, 2)).subnet));
    const third = await made.ready(3, 2);
    for (const node of [1, 2, 3]) await made.route(node);
    // Node 3 sends and hears nothing of etcd any more, and nobody tells it so.
    const drop =
      'add table inet cut; add chain inet cut out { type filter hook output priority 0; }; add rule inet cut out tcp dport 2379 drop';
    await made.inside(3, 'nft', drop);
    made.signal(1, 'SIGSTOP');
    await eventually(
      'the lease of the node that stands still runs out',
      async () => (await made.status(2)).peers.length === 1,
      PATIENCE,
    );
    made.signal(1, 'SIGCONT');
    const resumed = await made.ready(1, 2);
    expect(resumed.subnet).toBe(before[0]);
    await eventually('node 3 notices the silence', async () => !(await made.status(3)).etcd.connected, PATIENCE);
    const { ready, checks } = (await made.ask(3, '/readyz')) as {
      ready: boolean;
      checks: { name: string; detail: string }[];
    };
    expect(ready).toBe(true);
    expect(checks[0]?.detail).toMatch(/^serving from memory since /);
    await made.route(1);
    expect(await made.ping(3, 2, '-c', '1')).toBe(1);
    await made.inside(3, 'nft', 'delete table inet cut');
    await made.etcd.ctl(
      'put',
      '/coreos.com/network/subnets/10.5.77.0-24',
      '{"PublicIP":"192.168.64.77","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:77"}}',
    );
    await eventually('node 3 follows again', async () => (await made.status(3)).peers.length === 3, PATIENCE);
    expect((await made.status(3)).subnet).toBe(third.subnet);
  });

  test('three members of etcd, the leader lost: no packet is, no node is unready, new leases are seen', async () => {
    const made = await FlanneldRig.make(undefined);
    rig = made;
    const three = await EtcdCluster.start(made.namespace('sw'), '192.168.64.254', [2479, 2579, 2679]);
    cluster = three;
    await three.ctl('put', '/coreos.com/network/config', JSON.stringify(NETWORK));
    const flags = ['--etcd-endpoints', three.endpoints.join(',')];
    for (const node of [1, 2]) made.start(node, flags);
    for (const node of [1, 2]) await made.ready(node, 1);
    for (const node of [1, 2]) await made.route(node);
    const pinged = made.ping(1, 2, '-c', '60', '-i', '0.05');
    await three.killLeader();
    made.start(3, flags);
    const seen = await eventually(
      'a new node comes in and is seen',
      async () => {
        const { ready } = (await made.ask(1, '/readyz')) as { ready: boolean };
        expect(ready).toBe(true);
        return (await made.status(1)).peers.length === 2;
      },
      PATIENCE,
    );
    expect(seen).toBe(true);
    expect(await pinged).toBe(60);
  });

  test('dual stack: one lease with both subnets, packets in both families, up to the MTU', async () => {
    const made = await FlanneldRig.make({ ...NETWORK, EnableIPv6: true, IPv6Network: 'fd00:5::/48' });
    rig = made;
    for (const node of [1, 2]) made.start(node);
    const [one, two] = [await made.ready(1, 1), await made.ready(2, 1)];
    expect(one.lease.key).toMatch(/\/10\.5\.\d+\.0-24&fd00:5:.*-64$/);
    expect(await made.subnetFile(1)).toMatch(
      /FLANNEL_IPV6_NETWORK=fd00:5::\/48\nFLANNEL_IPV6_SUBNET=fd00:5:.*::1\/64\n/,
    );
    const pods: readonly (readonly [number, string, string])[] = [
      [1, one.subnet6 ?? '', two.subnet6 ?? ''],
      [2, two.subnet6 ?? '', one.subnet6 ?? ''],
    ];
    for (const [node, , to] of pods) {
      await made.inside(
        node,
        'ip',
        '-6',
        'route',
        'replace',
        to,
        'via',
        firstAddress(to),
        'dev',
        'flannel.1',
        'onlink',
      );
      await made.route(node);
    }
    expect(await made.ping(1, 2, '-c', '1')).toBe(1);
    for (const [node, from, to] of pods) {
      const ping = [
        'ping',
        '-6',
        '-n',
        '-c',
        '1',
        '-W',
        '2',
        '-M',
        'do',
        '-s',
        String(1450 - 48),
        '-I',
        firstAddress(from),
        firstAddress(to),
      ];
      await eventually('IPv6 goes through', async () => (await made.inside(node, ...ping)).includes('1 received'));
    }
  });
});
