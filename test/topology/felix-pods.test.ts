// felix on the real kernel with a pod without a bridge: its neighbours and gateways on the node's end, repaired, kept over a
// rude restart, and worth having: a pod that lost what it knew of its gateway goes on.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { offerPods } from '../../flanneld/pod-feed.ts';
import type { FeedGroup } from '../../lib/feed/feed.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { eventually } from '../eventually.ts';
import { FelixNode } from './felix-node.ts';

const execute = promisify(execFile);
/** Repairs take some milliseconds; a busy machine may take its time. */
const REPAIR = { timeoutMs: 5_000, intervalMs: 5 };
const POD_MAC = '0a:58:0a:05:01:09';
const BUNDLE = join(import.meta.dirname, '../../dist/cni/gingham-cni.cjs');

let node: FelixNode;
let pod: string;

beforeEach(async () => {
  node = await FelixNode.make();
  pod = `${node.namespace}p`;
  await execute('ip', ['netns', 'add', pod]);
  await inPod('sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0');
  await node.ip(`link add gh1 type veth peer name eth0 address ${POD_MAC} netns ${pod}`);
  await node.ip('link set gh1 up');
  for (const words of [
    'address add 10.5.1.9/32 dev eth0',
    'address add fd00:5:1::9/128 dev eth0 nodad',
    'link set eth0 up',
    'route add 169.254.1.1 dev eth0',
    'route add default via 169.254.1.1',
    '-6 route add default via fe80::1 dev eth0',
  ]) {
    await execute('ip', ['-n', pod, ...words.split(' ')]);
  }
  node.feed.setGroup(podGroup());
  node.feed.setRoutes(2, [prefix('10.5.1.9/32'), prefix('fd00:5:1::9/128')]);
  node.feed.markInSync();
  await node.serve();
  node.startFelix();
  await node.ready();
});
afterEach(async () => {
  await node.remove();
  await execute('ip', ['netns', 'del', pod]);
});

function podGroup(): FeedGroup {
  const neighbours = ['10.5.1.9', 'fd00:5:1::9'].map((text) => ({ address: address(text), mac: mac(POD_MAC) }));
  const attachment = { device: 'gh1', addresses: [address('169.254.1.1'), address('fe80::1')], neighbours };
  const nextHops = [{ device: 'gh1', onlink: false, weight: 1 }];
  return { id: 2, kind: 'unicast', nextHops, local: true, node: 'n1', attachment };
}

const inPod = async (command: string): Promise<string> =>
  (await execute('ip', ['netns', 'exec', pod, ...command.split(' ')])).stdout;

/** What felix keeps on the pod's interface, as `ip` shows it; less what counts up by itself. */
async function onLink(): Promise<string> {
  const shown = await node.ip('address show dev gh1');
  const own = shown.split('\n').filter((line) => /169\.254\.1\.1|fe80::1\//.test(line));
  const neighbours = (await node.ip('neighbour show nud permanent dev gh1')).trim().split('\n').sort();
  return [...own.map((line) => line.trim()).sort(), ...neighbours.map((line) => line.trim())].join('\n');
}

it('keeps neighbours and gateways of a pod, whatever others do to them', async () => {
  const before = await onLink();
  expect(before.split('\n')).toHaveLength(4);
  expect(before).toMatch(/inet 169\.254\.1\.1\/32 scope host/);
  await node.ip('address add 10.77.0.1/24 dev gh1');
  await node.ip('neighbour add 10.5.1.77 lladdr 02:00:00:00:00:77 nud permanent dev u0');
  for (const change of [
    'neighbour del 10.5.1.9 dev gh1',
    'neighbour replace 10.5.1.9 lladdr 02:00:00:00:00:01 nud permanent dev gh1',
    'neighbour replace 10.5.1.9 lladdr 02:00:00:00:00:01 nud reachable dev gh1',
    '-6 neighbour replace fd00:5:1::9 lladdr 02:00:00:00:00:01 nud permanent protocol static dev gh1',
    'neighbour flush nud permanent dev gh1',
    'neighbour add 10.5.1.8 lladdr 02:00:00:00:00:02 nud permanent protocol 71 dev gh1',
    'address del 169.254.1.1/32 dev gh1',
    'address del fe80::1/128 dev gh1',
    'address flush dev gh1 scope host',
    'link set gh1 down',
  ]) {
    await node.ip(change);
    if (change.endsWith('down')) await node.ip('link set gh1 up');
    await eventually(`as before "ip ${change}"`, async () => (await onLink()) === before, REPAIR);
  }
  expect(await node.ip('address show dev gh1')).toContain('10.77.0.1/24');
  expect(await node.ip('neighbour show nud permanent dev u0')).toContain('10.5.1.77');
  const status = JSON.parse((await node.http('/status')).body) as Record<string, Record<string, unknown>>;
  expect(status['neighbours']).toMatchObject({ wanted: 2, programmed: 2 });
  expect(status['addresses']).toMatchObject({ wanted: 2, programmed: 2 });
  expect(await node.metric('link_entries{object="neighbour",state="programmed"}')).toBe(2);
  expect(await node.metric('repaired_total{object="neighbour",kind="modified"}')).toBeGreaterThan(0);
  expect(await node.metric('repaired_total{object="address",kind="deleted"}')).toBeGreaterThan(0);
});

it('a pod that lost its gateway neighbours asks, and is answered; a restart of felix writes nothing', async () => {
  for (const to of ['169.254.1.1', '192.0.2.1', '2001:db8::1']) await inPod(`ping -c 1 -W 5 ${to}`);
  // The node does not take the gateway for its own source.
  expect(await node.ip('route get 10.5.1.9')).not.toContain('169.254.1.1');
  const before = await onLink();
  const felix = await node.endFelix('SIGKILL');
  expect(felix).not.toBe(0);
  await node.ip('neighbour add 10.5.1.8 lladdr 02:00:00:00:00:02 nud permanent protocol 71 dev gh1');
  node.startFelix();
  await node.ready();
  await eventually('what nothing wants is gone', async () => (await onLink()) === before, REPAIR);
  for (const kind of ['neighbour', 'address']) {
    expect((await node.metric(`kernel_writes_total{kind="${kind}",op="put"}`)) ?? 0).toBe(0);
  }
  node.feed.withdraw([prefix('10.5.1.9/32'), prefix('fd00:5:1::9/128')]);
  node.feed.removeGroup(2);
  await eventually('the pod is unplugged', async () => (await onLink()) === '', REPAIR);
});

it('what the CNI plugin plugs in gets all of it by way of its record, and loses it with the pod', async () => {
  const { runFolder, namespace } = node;
  await writeFile(
    join(runFolder, 'subnet.env'),
    'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
  );
  // The plugin asks whether flanneld is there; of flanneld only what follows the records runs here.
  const flanneld = createServer().listen(join(runFolder, 'flanneld.http'));
  const log = pino({ level: 'silent' });
  const stop = offerPods({ runFolder, node: 'n1', table: node.feed, clock: systemClock, log });
  const conf = { cniVersion: '1.1.0', name: 'hand', type: 'gingham-cni', mode: 'routed', runDir: runFolder };
  const call = async (command: string): Promise<string> => {
    const env = { CNI_COMMAND: command, CNI_CONTAINERID: 'one', CNI_NETNS: `/run/netns/${pod}`, CNI_IFNAME: 'eth1' };
    const run = execute('nsenter', [`--net=/run/netns/${namespace}`, '--', process.execPath, BUNDLE], { env });
    run.child.stdin?.end(JSON.stringify({ ...conf, dataDir: join(runFolder, 'cni') }));
    return (await run).stdout;
  };
  try {
    const { interfaces, ips } = JSON.parse(await call('ADD')) as {
      interfaces: { name: string; mac: string }[];
      ips: { address: string }[];
    };
    const [host, inside] = interfaces;
    const given = ips[0]?.address.split('/')[0];
    expect(await node.ip(`neighbour show nud permanent dev ${host?.name}`)).toContain(`${given} lladdr ${inside?.mac}`);
    expect(await node.ip(`address show dev ${host?.name}`)).toContain('inet 169.254.1.1/32 scope host');
    await call('DEL');
    await eventually('nothing waits for it', async () => {
      const status = JSON.parse((await node.http('/status')).body) as { neighbours: { wanted: number } };
      return status.neighbours.wanted === 2;
    });
  } finally {
    await stop();
    flanneld.close();
  }
});
