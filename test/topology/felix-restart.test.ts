// felix ended at a bad moment, on the real kernel: in the middle of writing 60,000 routes, and while packets flow.
//
//   [ gh..f0  felix   u0 192.0.2.1 ──veth── u1 192.0.2.2   gh..f0o ]      flannel.1 on both: 10.5.1.0, 10.5.2.0
//
// A ping each millisecond goes through the tunnel by a route of felix; not one may be lost.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { FelixNode, localGroup, vtepGroup } from './felix-node.ts';

const execute = promisify(execFile);
const MANY = 60_000;
const MAC_1 = '02:00:00:00:00:01';
const MAC_2 = '02:00:00:00:00:02';

let node: FelixNode;

beforeEach(async () => {
  node = await FelixNode.make();
});
afterEach(() => node.remove());

const routesOf = async (): Promise<string[]> =>
  (await node.ip('route show proto 71')).split('\n').filter((line) => line !== '');

describe('kill -9 in the middle of the first apply', () => {
  it('leaves nothing that the next felix does not put right, and no right route is touched', async () => {
    const prefixes = Array.from({ length: MANY }, (_, i) =>
      prefix(`${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`),
    );
    node.feed.setGroup(vtepGroup(2));
    node.feed.setRoutes(2, prefixes);
    node.feed.markInSync();
    await node.serve();
    await node.ip('route add 10.77.0.0/16 via 192.0.2.9 proto 71');
    await node.ip('route add 10.78.0.0/16 via 192.0.2.9 proto 4');
    node.startFelix();
    await eventually('felix is writing', async () => (await node.ip('route show 20.0.3.0/24')) !== '', {
      intervalMs: 1,
    });
    await node.endFelix('SIGKILL');
    const half = await routesOf();
    expect(half.length).toBeLessThan(MANY);
    expect(half.length).toBeGreaterThan(1);
    const monitor = await node.monitor();
    node.startFelix();
    await node.ready();
    const changed = await monitor.stop();
    const full = await routesOf();
    console.log(`killed after ${half.length - 1} of ${MANY} routes`);
    expect(full).toHaveLength(MANY);
    expect(await node.ip('route show 10.77.0.0/16')).toBe('');
    // The kernel may drop lines among so many, so what it told is checked, not that it told all.
    const deleted = changed.filter((line) => line.startsWith('Deleted') && !line.includes('10.77.0.0/16'));
    expect(deleted).toEqual([]);
    expect(await node.ip('route show 10.78.0.0/16')).not.toBe('');
    // What was right is not written again.
    const written = new Set(half.map((line) => line.split(' ')[0]));
    const again = changed.filter((line) => !line.startsWith('Deleted') && written.has(line.split(' ')[0]));
    expect(again).toEqual([]);
  });
});

describe('packets each millisecond', () => {
  const peer = (): string => `${node.namespace}o`;

  beforeEach(async () => {
    await execute('ip', ['netns', 'add', peer()]);
    await node.ip(`link set u1 netns ${peer()}`);
    await node.ip(`link set flannel.1 address ${MAC_1}`);
    await node.ip('address add 10.5.1.1/32 dev lo');
    await node.ip(`neigh add 10.5.2.0 lladdr ${MAC_2} dev flannel.1 nud permanent`);
    await node.run(`bridge fdb add ${MAC_2} dev flannel.1 dst 192.0.2.2`);
    for (const words of [
      'link set lo up',
      'address add 192.0.2.2/24 dev u1',
      'link set u1 up',
      `link add flannel.1 address ${MAC_2} type vxlan id 1 local 192.0.2.2 dev u1 dstport 8472 nolearning`,
      'address add 10.5.2.0/32 dev flannel.1',
      'address add 10.5.2.1/32 dev lo',
      'link set flannel.1 up',
      `neigh add 10.5.1.0 lladdr ${MAC_1} dev flannel.1 nud permanent`,
      'route add 10.5.1.0/24 via 10.5.1.0 dev flannel.1 onlink',
    ]) {
      await execute('ip', ['-n', peer(), ...words.split(' ')]);
    }
    await execute('ip', [
      'netns',
      'exec',
      peer(),
      'bridge',
      'fdb',
      'add',
      MAC_1,
      'dev',
      'flannel.1',
      'dst',
      '192.0.2.1',
    ]);
    node.feed.setGroup(localGroup(1));
    node.feed.setRoutes(1, [prefix('10.5.1.0/24')]);
    node.feed.setGroup(vtepGroup(2));
    node.feed.setRoutes(2, [prefix('10.5.2.0/24')]);
    node.feed.markInSync();
    await node.serve();
    node.startFelix();
    await node.ready();
  });
  afterEach(() => execute('ip', ['netns', 'del', peer()]));

  it.each(['SIGTERM', 'SIGKILL'] as const)('none is lost through a restart of felix by %s', async (signal) => {
    const pinging = execute('ip', [
      'netns',
      'exec',
      node.namespace,
      'ping',
      '-n',
      '-q',
      '-i',
      '0.001',
      '-w',
      '4',
      '-I',
      '10.5.1.1',
      '10.5.2.1',
    ]);
    await node.endFelix(signal);
    node.startFelix();
    await node.ready();
    node.feed.setRoutes(2, [prefix('10.5.2.0/24'), prefix('10.5.3.0/24')]);
    await eventually('felix works on', () => node.hasRoute('10.5.3.0/24'));
    const { stdout } = await pinging;
    const [, sent = '0', received = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
    console.log(`restart of felix by ${signal}: ${sent} packets sent, ${received} received`);
    expect(Number(sent)).toBeGreaterThan(500);
    // The last one may be on its way when ping ends.
    expect(Number(sent) - Number(received)).toBeLessThanOrEqual(1);
  });
});
