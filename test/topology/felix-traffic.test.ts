// felix's traffic rules on the real kernel: what they let through, what they drop, and that they stay.
//
//   [ pod 10.5.1.2 ]──cni0 10.5.1.1─[ node, felix ]─u0 192.0.2.1 ──── u1 192.0.2.7─[ outside; no route to pods ]
//
// The outside sees which address a packet has: its ping replies reach the pod only if the node has masqueraded.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { FelixNode, localGroup } from './felix-node.ts';

const execute = promisify(execFile);
const REPAIR = { timeoutMs: 2_000, intervalMs: 5 };

let node: FelixNode;
let pod: string;
let outside: string;

const inside = async (namespace: string, command: string): Promise<string> =>
  (await execute('ip', ['netns', 'exec', namespace, ...command.split(' ')])).stdout;

async function reaches(namespace: string, destination: string, more = ''): Promise<boolean> {
  try {
    await inside(namespace, `ping -n -c 1 -W 0.5 ${more} ${destination}`.replace(/ +/g, ' '));
    return true;
  } catch {
    return false;
  }
}

async function subnetEnv(ipMasq: boolean): Promise<void> {
  const lines = [
    'FLANNEL_NETWORK=10.5.0.0/16',
    'FLANNEL_SUBNET=10.5.1.1/24',
    'FLANNEL_IPV6_NETWORK=fd00:5::/48',
    'FLANNEL_IPV6_SUBNET=fd00:5:0:1::1/64',
    'FLANNEL_MTU=1450',
    `FLANNEL_IPMASQ=${ipMasq}`,
  ];
  await writeFile(join(node.runFolder, 'subnet.env'), `${lines.join('\n')}\n`);
}

beforeEach(async () => {
  node = await FelixNode.make();
  pod = `${node.namespace}p`;
  outside = `${node.namespace}o`;
  for (const each of [pod, outside]) await execute('ip', ['netns', 'add', each]);
  await node.ip(`link set u1 netns ${outside}`);
  for (const words of [
    'link set u1 up',
    'address add 192.0.2.7/24 dev u1',
    'address add 2001:db8::7/64 dev u1 nodad',
    'address add 10.5.2.9/32 dev u1',
  ]) {
    await execute('ip', ['-n', outside, ...words.split(' ')]);
  }
  await node.ip('link add cni0 type bridge');
  await node.ip('address add 10.5.1.1/24 dev cni0');
  await node.ip('address add fd00:5:0:1::1/64 dev cni0 nodad');
  await node.ip('link set cni0 up');
  await node.ip(`link add v0 type veth peer name eth0 netns ${pod}`);
  await node.ip('link set v0 master cni0 up');
  for (const words of [
    'address add 10.5.1.2/24 dev eth0',
    'address add fd00:5:0:1::2/64 dev eth0 nodad',
    'link set eth0 up',
    'route add default via 10.5.1.1',
    '-6 route add default via fd00:5:0:1::1',
  ]) {
    await execute('ip', ['-n', pod, ...words.split(' ')]);
  }
  await node.run('sysctl -q -w net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1');
  node.feed.setGroup(localGroup(1));
  node.feed.setRoutes(1, [prefix('10.5.1.0/24')]);
  node.feed.markInSync();
  await node.serve();
});
afterEach(async () => {
  await node.remove();
  for (const each of [pod, outside]) await execute('ip', ['netns', 'del', each]);
});

async function start(ipMasq: boolean, flags: readonly string[] = []): Promise<void> {
  await subnetEnv(ipMasq);
  node.startFelix(flags);
  await node.ready();
}

const rules = (): Promise<string> => node.run('nft list table inet gingham');
const traffic = async (): Promise<{ readonly [field: string]: unknown }> =>
  (JSON.parse((await node.http('/status')).body) as { traffic: { readonly [field: string]: unknown } }).traffic;

describe('masquerading', () => {
  it("lets pods out under the node's address, in both families, but not to the cluster network", async () => {
    await start(true);
    expect(await reaches(pod, '192.0.2.7')).toBe(true);
    expect(await reaches(pod, '2001:db8::7')).toBe(true);
    // 10.5.2.9 stands for a pod of another node: it sees the pod's own address, to which it has no way back.
    await node.ip('route add 10.5.2.9/32 via 192.0.2.7');
    expect(await reaches(pod, '10.5.2.9')).toBe(false);
    await execute('ip', ['-n', outside, 'route', 'add', '10.5.1.0/24', 'via', '192.0.2.1']);
    expect(await reaches(pod, '10.5.2.9')).toBe(true);
    expect(await rules()).toContain('fully-random');
  });

  it('is not done unless flanneld was told to, and follows subnet.env', async () => {
    await start(false);
    expect(await reaches(pod, '192.0.2.7')).toBe(false);
    await subnetEnv(true);
    await eventually('the pod gets out', () => reaches(pod, '192.0.2.7'));
  });
});

describe('protection', () => {
  it('a pod cannot send from another address', async () => {
    await start(true);
    await execute('ip', ['-n', pod, 'address', 'add', '10.5.9.9/32', 'dev', 'eth0']);
    await execute('ip', ['-n', pod, 'address', 'add', 'fd00:5:0:9::9/128', 'dev', 'eth0', 'nodad']);
    await node.ip('route add 10.5.9.9/32 dev cni0');
    await node.ip('-6 route add fd00:5:0:9::9/128 dev cni0');
    expect(await reaches(pod, '10.5.1.1')).toBe(true);
    expect(await reaches(pod, '10.5.1.1', '-I 10.5.9.9')).toBe(false);
    expect(await reaches(pod, 'fd00:5:0:1::1')).toBe(true);
    expect(await reaches(pod, 'fd00:5:0:1::1', '-I fd00:5:0:9::9')).toBe(false);
    expect(await rules()).toMatch(/counter packets [1-9].* drop comment "not of this node"/);
  });

  it.each([
    ['named by the operator', ['--pod-interfaces', 'cni0,w*'], ''],
    ['marked by the CNI plugin', [], 'link set w0 alias gingham:c0ffee'],
  ])("with a route for each pod, a pod cannot send from its neighbour's address: %s", async (_, flags, mark) => {
    await start(true, flags);
    await node.ip(`link add w0 type veth peer name eth1 netns ${pod}`);
    // The kernel tells of an alias once the link is up.
    if (mark !== '') await node.ip(mark);
    await node.ip('link set w0 up');
    await eventually('the pod is known', async () => /"w0"|"w\*"/.test(await rules()));
    await node.ip('route add 10.5.1.77/32 dev w0');
    await node.ip('route add 10.5.1.78/32 dev lo');
    for (const words of [
      'link set eth1 up',
      'address add 10.5.1.77/32 dev eth1',
      'address add 10.5.1.78/32 dev eth1',
      'route add 192.0.2.1/32 dev eth1',
      'route add 10.5.1.1/32 dev eth1',
    ]) {
      await execute('ip', ['-n', pod, ...words.split(' ')]);
    }
    await node.run('sysctl -q -w net.ipv4.conf.w0.proxy_arp=1');
    expect(await reaches(pod, '192.0.2.1', '-I 10.5.1.77')).toBe(true);
    expect(await reaches(pod, '192.0.2.1', '-I 10.5.1.78')).toBe(false);
    expect(await rules()).toMatch(/counter packets [1-9].* drop comment "not of this interface"/);
  });

  it("a pod's port of a bridge makes the bridge one of pods, until it goes", async () => {
    await start(true, ['--pod-interfaces', '']);
    expect(await rules()).not.toContain('"cni0"');
    await node.ip('link set v0 alias gingham:c0ffee');
    await eventually('the bridge is known', async () => (await rules()).includes('"cni0"'));
    await node.ip('link del v0');
    await eventually('it is forgotten', async () => !(await rules()).includes('"cni0"'));
  });

  it('drops tunnel packets of our network from hosts that flanneld does not know', async () => {
    await node.ip('link set flannel.1 alias gingham');
    await start(true);
    // A VXLAN packet for VNI 1: flags, reserved, VNI.
    const send = (vni: number): Promise<string> =>
      inside(
        outside,
        `node -e require('dgram').createSocket('udp4').send(Buffer.from('080000000000${vni.toString(16).padStart(2, '0')}00'.padEnd(64,'0'),'hex'),8472,'192.0.2.1',()=>process.exit())`,
      );
    await send(1);
    await eventually('the stranger is dropped', async () =>
      /packets 1 bytes.*not a node of the cluster/.test(await rules()),
    );
    await node.run('bridge fdb add 02:00:00:00:00:07 dev flannel.1 dst 192.0.2.7');
    await eventually('the host is known', async () => (await traffic())['tunnelHosts'] === 1);
    await send(1);
    await send(2);
    expect(await rules()).toMatch(/packets 0 bytes.*not a node of the cluster/);
  });
});

describe('the table', () => {
  it.each([
    ['deleted', 'nft delete table inet gingham'],
    ['flushed', 'nft flush table inet gingham'],
    ['gone with all others', 'nft flush ruleset'],
    ['added to', 'nft add rule inet gingham forward drop'],
  ])('is put back when it was %s, and soon', async (_, change) => {
    await start(true);
    const before = (await rules()).replace(/packets \d+ bytes \d+/g, '');
    await node.run(change);
    const at = performance.now();
    await eventually('it is repaired', async () => (await traffic())['repaired'] === 1, REPAIR);
    const tookMs = performance.now() - at;
    console.log(`traffic rules ${change}: repaired within ${tookMs.toFixed(0)} ms`);
    expect((await rules()).replace(/packets \d+ bytes \d+/g, '')).toBe(before);
  });

  it('stays through a restart, and goes when it is switched off', async () => {
    await start(true);
    await node.endFelix('SIGKILL');
    expect(await reaches(pod, '192.0.2.7')).toBe(true);
    await start(true, ['--traffic-rules', 'off']);
    await eventually('it is gone', async () => !(await node.run('nft list tables')).includes('gingham'), REPAIR);
  });

  it('leaves tables of others alone, and says where one drops what ours lets pass', async () => {
    // What Docker does: its own chain for operators, and the policy DROP.
    for (const command of [
      'iptables -N DOCKER-USER',
      'iptables -A FORWARD -j DOCKER-USER',
      'iptables -P FORWARD DROP',
      'nft add table inet somebody',
      'nft add chain inet somebody c',
    ]) {
      await node.run(command);
    }
    const others = async (): Promise<string> =>
      (await node.run('nft list table ip filter')) + (await node.run('nft list table inet somebody'));
    const before = await others();
    await start(true);
    expect((await traffic())['othersDropForwarded']).toEqual(['ip filter FORWARD']);
    expect(node.logged.find(({ msg }) => msg.startsWith('another table drops'))?.['chains']).toEqual([
      'ip filter FORWARD',
    ]);
    expect(await reaches(pod, '192.0.2.7')).toBe(false);
    expect((await others()).replace(/packets \d+ bytes \d+/g, '')).toBe(before.replace(/packets \d+ bytes \d+/g, ''));
    // What the log line says to do.
    await node.run('iptables -A DOCKER-USER -s 10.5.0.0/16 -j ACCEPT');
    await node.run('iptables -A DOCKER-USER -d 10.5.0.0/16 -j ACCEPT');
    expect(await reaches(pod, '192.0.2.7')).toBe(true);
  });

  it('sees the old iptables too, which nftables cannot', async () => {
    await node.run('iptables-legacy -P FORWARD ACCEPT');
    await start(true);
    expect((await traffic())['othersDropForwarded']).toEqual([]);
    await node.run('iptables-legacy -P FORWARD DROP');
    await node.run('ip6tables-legacy -A FORWARD -s fd00:6::/64 -j ACCEPT');
    await node.run('ip6tables-legacy -P FORWARD DROP');
    await node.run('nft add table inet somebody');
    await node.run('nft delete table inet gingham');
    await eventually(
      'both chains are named',
      async () =>
        String((await traffic())['othersDropForwarded']) ===
        'iptables-legacy filter FORWARD,ip6tables-legacy filter FORWARD',
    );
  });
});
