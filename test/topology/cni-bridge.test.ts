// The CNI plugin in mode "bridge" on the real kernel, called as a runtime calls it: every command, every version, what is
// asked for, what is damaged. No daemon runs: a subnet.env is all there is.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hostInterfaceName } from '../../cni/pod-names.ts';
import { CniNode, type ResultJson } from './cni-node.ts';

const PLAIN = { cniVersion: '1.0.0' };

let node: CniNode;

beforeAll(async () => {
  node = await CniNode.make();
});
afterAll(() => node.remove());

afterEach(async () => {
  await node.lease();
  await node.collect([]);
  expect(await node.allocated()).toEqual([]);
});

function address(result: ResultJson, at = 0): string {
  return result.ips[at]?.address.split('/')[0] ?? '';
}

describe('ADD', () => {
  test('two pods, both families: they reach each other and their gateway, and the result says how they are', async () => {
    const [a, b] = (await node.pods(2)) as [string, string];
    const [first, second] = [await node.add(a), await node.add(b)];
    expect(first).toMatchObject({
      cniVersion: '1.1.0',
      interfaces: [
        { name: 'cni0', mac: '0a:58:0a:05:07:01', mtu: 1450 },
        { name: expect.stringMatching(/^gh[0-9a-f]{11}$/) as string, mtu: 1450 },
        { name: 'eth0', sandbox: `/run/netns/${a}`, mtu: 1450 },
      ],
      ips: [
        { address: expect.stringMatching(/^10\.5\.7\.\d+\/24$/) as string, gateway: '10.5.7.1', interface: 2 },
        { address: expect.stringMatching(/^fd00:5:0:7::/) as string, gateway: 'fd00:5:0:7::1', interface: 2 },
      ],
      routes: [
        { dst: '0.0.0.0/0', gw: '10.5.7.1' },
        { dst: '::/0', gw: 'fd00:5:0:7::1' },
      ],
      dns: {},
    });
    expect(address(first)).not.toBe(address(second));
    for (const target of ['10.5.7.1', 'fd00:5:0:7::1', address(second), address(second, 1)]) {
      expect([target, await node.reaches(a, target)]).toEqual([target, true]);
    }
    const port = await node.ip(`-d -o link show ${first.interfaces[1]?.name}`);
    expect(port).toContain(`alias gingham:${a}`);
    expect(port).toContain('hairpin off');
    expect(await node.ip('-d -o link show cni0')).toContain('promiscuity 0');
  });

  test.each([
    ['0.3.1', { version: '4' }, false],
    ['0.4.0', { version: '4' }, false],
    ['1.0.0', {}, false],
    ['1.1.0', {}, true],
  ])('version %s has its own form of a result', async (cniVersion, inAddress, hasMtu) => {
    const pod = await node.pod();
    const result = await node.add(pod, { conf: node.conf({ cniVersion }) });
    expect(result.cniVersion).toBe(cniVersion);
    expect(result.ips[0]).toEqual({ ...inAddress, address: result.ips[0]?.address, gateway: '10.5.7.1', interface: 2 });
    expect(result.interfaces.every((each) => (each.mtu !== undefined) === hasMtu)).toBe(true);
    await node.done('DEL', pod, { conf: node.conf({ cniVersion }) });
  });

  test.each([
    ['CNI_ARGS', { args: 'IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.5.7.77;MAC=02:11:22:33:44:55' }, {}],
    ['args.cni', {}, { args: { cni: { ips: ['10.5.7.77'], mac: '02:11:22:33:44:55' } } }],
    ['runtimeConfig', {}, { runtimeConfig: { ips: ['10.5.7.77/24'], mac: '02:11:22:33:44:55', portMappings: [] } }],
  ])('address and MAC that are asked for by %s', async (_, options, conf) => {
    const pod = await node.pod();
    const result = await node.add(pod, { ...options, conf: node.conf(conf) });
    expect(address(result)).toBe('10.5.7.77');
    expect(await node.ip('-o link show eth0', pod)).toContain('02:11:22:33:44:55');
    const other = await node.pod();
    const refusal = await node.refused('ADD', other, { args: 'IP=10.5.7.77' });
    expect(refusal).toMatchObject({ code: 101, msg: expect.stringContaining(pod) as string });
  });

  test('routes, DNS, hairpin, MTU, another bridge', async () => {
    const pod = await node.pod();
    const dns = { nameservers: ['10.5.7.1'], domain: 'lab', search: ['lab'], options: ['ndots:2'] };
    const routes = [{ dst: '172.20.0.0/16', gw: '10.5.7.2', priority: 7 }, { dst: 'fd01::/16' }];
    const conf = node.conf({ routes, dns, hairpinMode: true, mtu: 1400, bridge: 'br9', isDefaultGateway: false });
    const result = await node.add(pod, { conf });
    expect(result.dns).toEqual(dns);
    expect(result.routes).toEqual([
      { dst: '10.5.0.0/16', gw: '10.5.7.1' },
      { dst: 'fd00:5::/48', gw: 'fd00:5:0:7::1' },
      { dst: '172.20.0.0/16', gw: '10.5.7.2', priority: 7 },
      { dst: 'fd01::/16', gw: 'fd00:5:0:7::1' },
    ]);
    const shown = await node.ip('route show', pod);
    expect(shown).toContain('172.20.0.0/16 via 10.5.7.2 dev eth0 proto 71 metric 7');
    expect(shown).not.toContain('default');
    expect(await node.ip('-6 route show', pod)).toContain('fd01::/16 via fd00:5:0:7::1');
    expect(await node.ip(`-d -o link show ${result.interfaces[1]?.name}`)).toMatch(/mtu 1400.*master br9.*hairpin on/);
    await node.done('CHECK', pod, { conf: { ...conf, prevResult: result } });
    await node.done('DEL', pod, { conf });
    await node.collect([], { bridge: 'br9' });
  });

  test('a second interface of the same container is another attachment; the same one again is refused', async () => {
    const pod = await node.pod();
    const first = await node.add(pod);
    const second = await node.add(pod, { ifname: 'net1', conf: node.conf({ isDefaultGateway: false }) });
    expect(address(first)).not.toBe(address(second));
    expect(await node.refused('ADD', pod)).toMatchObject({ code: 104 });
    await node.done('DEL', pod, { ifname: 'net1' });
    expect(await node.reaches(pod, '10.5.7.1')).toBe(true);
  });

  test('what another plugin made before is in the result too', async () => {
    const pod = await node.pod();
    const prevResult = { interfaces: [{ name: 'other' }], ips: [{ address: '192.0.2.1/24', interface: 0 }] };
    const result = await node.add(pod, { conf: node.conf({ prevResult }) });
    expect(result.interfaces.map(({ name }) => name)).toEqual(['other', 'cni0', expect.any(String), 'eth0']);
    expect(result.ips.map((ip) => ip.interface)).toEqual([0, 3, 3]);
  });

  test('a failure leaves nothing: neither address, nor interface', async () => {
    await node.add(await node.pod());
    const pod = await node.pod();
    const before = await node.traces();
    const conf = node.conf({ routes: [{ dst: '172.20.0.0/16', gw: '224.0.0.1' }] });
    expect(await node.refused('ADD', pod, { conf })).toMatchObject({ code: 102 });
    expect(await node.traces()).toBe(before);
    expect(await node.ip('-o link show', pod)).not.toContain('eth0');
  });
});

describe('DEL', () => {
  test('again, without state, without a namespace: all of it is fine', async () => {
    const pod = await node.pod();
    const result = await node.add(pod);
    rmSync(node.dataFolder, { recursive: true });
    await node.done('DEL', pod, { netns: '' });
    expect(await node.ip('-o link show')).not.toContain(result.interfaces[1]?.name);
    await node.done('DEL', pod);
    await node.done('DEL', pod, { netns: '/run/netns/there-is-none' });
    rmSync(join(node.folder, 'subnet.env'));
    await node.done('DEL', pod);
  });

  test('a namespace that is gone has taken its interface along; the address is freed', async () => {
    const pod = await node.pod();
    await node.add(pod);
    await node.ip('link delete eth0', pod);
    await node.done('DEL', pod);
    expect(await node.allocated()).toEqual([]);
  });
});

describe('addresses', () => {
  test('one that was freed is given again as late as can be, and not within the delay', async () => {
    await node.lease({ subnet: '10.5.7.1/29', ipv6: false });
    const conf = node.conf({ reuseDelaySeconds: 0 });
    const pods = await node.pods(4);
    const given: string[] = [];
    for (const pod of pods) given.push(address(await node.add(pod, { conf })));
    expect([...given].sort()).toEqual(['10.5.7.3', '10.5.7.4', '10.5.7.5', '10.5.7.6']);
    const extra = await node.pod();
    expect(await node.refused('ADD', extra)).toMatchObject({
      code: 100,
      msg: 'no address is free: 4 of 4 addresses of 10.5.7.0/29 are in use',
    });
    expect(await node.refused('STATUS', '')).toMatchObject({
      code: 50,
      msg: expect.stringContaining('no address is free') as string,
    });
    await node.done('DEL', pods[1] ?? '');
    expect(await node.refused('ADD', extra, { conf: node.conf({ reuseDelaySeconds: 600 }) })).toMatchObject({
      code: 11,
    });
    expect(address(await node.add(extra, { conf }))).toBe(given[1]);
  });

  test('what a machine that lost power left behind is nobody’s', async () => {
    const pod = await node.pod();
    const result = await node.add(pod);
    const path = join(node.dataFolder, address(result));
    const stale = readFileSync(path, 'utf8').replace(/"bootId":"[^"]+"/, '"bootId":"of another boot"');
    writeFileSync(path, stale);
    writeFileSync(join(node.dataFolder, '10.5.7.200'), '');
    await node.done('STATUS', '');
    expect(readdirSync(node.dataFolder).sort()).toEqual([address(result, 1), 'lock', 'recent.json']);
  });

  test('an address of a family is all or nothing', async () => {
    const pod = await node.pod();
    const holder = await node.pod();
    await node.add(holder, { args: 'IP=fd00:5:0:7::50' });
    const before = await node.allocated();
    expect(await node.refused('ADD', pod, { args: 'IP=10.5.7.50,fd00:5:0:7::50' })).toMatchObject({ code: 101 });
    expect(await node.allocated()).toEqual(before);
  });
});

describe('CHECK', () => {
  const damages: readonly (readonly [string, (pod: string, host: string) => Promise<unknown>, string])[] = [
    ['the address', (pod) => node.ip('address flush dev eth0 scope global', pod), 'no address 10.5.7.'],
    ['the default route', (pod) => node.ip('route del default', pod), 'no route 0.0.0.0/0 via 10.5.7.1'],
    ['the IPv6 route', (pod) => node.ip('-6 route del default', pod), 'no route ::/0 via fd00:5:0:7::1'],
    ['the pod’s link', (pod) => node.ip('link set eth0 down', pod), 'interface eth0 of the container is down'],
    ['the MTU', (pod) => node.ip('link set eth0 mtu 1000', pod), 'MTU 1000, not 1450'],
    ['the MAC', (pod) => node.ip('link set eth0 address 02:00:00:00:00:01', pod), 'MAC 02:00:00:00:00:01'],
    ['the interface', (pod) => node.ip('link del eth0', pod), 'is gone'],
    ['the host’s link', (_, host) => node.ip(`link set ${host} down`), 'is down'],
    ['the port', (_, host) => node.ip(`link set ${host} nomaster`), 'is no port of bridge cni0'],
    ['the host’s MTU', (_, host) => node.ip(`link set ${host} mtu 1000`), 'MTU 1000, not 1450'],
    ['the alias', (_, host) => node.ip(`link set ${host} alias x`), 'has alias x'],
    ['the gateway', () => node.ip('address del 10.5.7.1/24 dev cni0'), 'bridge cni0 has no address 10.5.7.1'],
    ['the bridge', () => node.ip('link set cni0 down'), 'bridge cni0 is down'],
    [
      'forwarding',
      () => node.run(['sysctl', '-w', 'net.ipv4.ip_forward=0']),
      'net.ipv4.ip_forward of the host is not 1',
    ],
    ['a sysctl', (pod) => node.run(['sysctl', '-w', 'net.ipv6.conf.eth0.accept_ra=1'], pod), 'accept_ra'],
  ];

  test.each(damages)('finds that %s is not as it was', async (_, damage, says) => {
    const pod = await node.pod();
    const prevResult = await node.add(pod);
    const conf = node.conf({ prevResult });
    await damage(pod, prevResult.interfaces[1]?.name ?? '');
    const error = await node.refused('CHECK', pod, { conf });
    expect(error.code).toBe(103);
    expect(`${error.msg}; ${error.details}`).toContain(says);
  });

  test('finds nothing where nothing is damaged', async () => {
    const pod = await node.pod();
    await node.done('CHECK', pod, { conf: node.conf({ prevResult: await node.add(pod) }) });
  });

  test('an attachment that never was, an address of another pod, and no prevResult', async () => {
    const [pod, other] = (await node.pods(2)) as [string, string];
    const result = await node.add(pod);
    expect(await node.refused('CHECK', other, { conf: node.conf({ prevResult: result }) })).toMatchObject({ code: 3 });
    expect(await node.refused('CHECK', pod)).toMatchObject({ code: 7 });
    const ips = [{ address: '10.5.7.99/24', interface: 2 }];
    const prevResult = { ...result, ips };
    expect(await node.refused('CHECK', pod, { conf: node.conf({ prevResult }) })).toMatchObject({
      code: 103,
      details: expect.stringContaining('address 10.5.7.99 of prevResult is not allocated') as string,
    });
  });
});

describe('what is missing', () => {
  test('subnet.env: try again later', async () => {
    rmSync(join(node.folder, 'subnet.env'));
    const error = await node.refused('ADD', await node.pod());
    expect(error).toMatchObject({ code: 11, cniVersion: '1.1.0', msg: expect.stringContaining('flanneld') as string });
    expect(await node.refused('STATUS', '')).toMatchObject({ code: 50 });
  });

  test('the daemons in mode "routed": try again later, and STATUS says that pods suffer', async () => {
    const conf = node.conf({ mode: 'routed' });
    const error = await node.refused('ADD', await node.pod(), { conf });
    expect(error).toMatchObject({ code: 11, msg: expect.stringMatching(/flanneld.*felix/) as string });
    expect(await node.refused('STATUS', '', { conf })).toMatchObject({ code: 51 });
    expect(await node.allocated()).toEqual([]);
  });

  test('the namespace, or it is the host’s own', async () => {
    expect(await node.refused('ADD', 'x', { netns: '/run/netns/there-is-none' })).toMatchObject({ code: 3 });
    expect(await node.refused('ADD', 'x', { netns: `/run/netns/${node.namespace}` })).toMatchObject({ code: 4 });
    expect(await node.refused('ADD', 'x', { netns: '/etc/hostname' })).toMatchObject({ code: 4 });
  });

  test('masquerading by felix, where the configuration wants it', async () => {
    const pod = await node.pod();
    expect(await node.refused('ADD', pod, { conf: node.conf({ ipMasq: true }) })).toMatchObject({ code: 7 });
    await node.lease({ masquerade: true });
    await node.add(pod, { conf: node.conf({ ipMasq: true }) });
  });
});

describe('GC', () => {
  test('removes what belongs to no valid attachment, of its own network only, and an unused bridge', async () => {
    const [stays, goes, other] = (await node.pods(3)) as [string, string, string];
    const kept = await node.add(stays);
    const lost = await node.add(goes);
    const foreign = await node.add(other, { conf: node.conf({ name: 'other' }) });
    await node.collect([stays]);
    const links = await node.ip('-o link show');
    expect(links).toContain(kept.interfaces[1]?.name);
    expect(links).toContain(foreign.interfaces[1]?.name);
    expect(links).not.toContain(lost.interfaces[1]?.name);
    expect(await node.allocated()).toHaveLength(4);
    await node.collect([], { name: 'other' });
    await node.collect([]);
    expect(await node.ip('-o link show')).not.toContain('cni0');
  });
});

test('GC removes records of routed pods that are in no valid attachment, and half-written ones', async () => {
  const record = (containerId: string, network: string): void => {
    const hostInterface = `gh-${containerId}`;
    const text = JSON.stringify({ containerId, ifname: 'eth0', network, hostInterface, addresses: ['10.5.7.9'] });
    writeFileSync(join(node.folder, 'pods', `${hostInterface}.json`), text);
  };
  mkdirSync(join(node.folder, 'pods'));
  record('foreign', 'other');
  writeFileSync(join(node.folder, 'pods', '.gh1.json.77'), '{"cont');
  const lost = await node.pod();
  const name = hostInterfaceName('net', { containerId: lost, ifname: 'eth0' });
  const text = { containerId: lost, ifname: 'eth0', network: 'net', hostInterface: name, addresses: ['10.5.7.9'] };
  writeFileSync(join(node.folder, 'pods', `${name}.json`), JSON.stringify(text));
  await node.collect([], { mode: 'routed' });
  expect(readdirSync(join(node.folder, 'pods'))).toEqual(['gh-foreign.json']);
});

test('a bridge that somebody else made is used as it is, and stays', async () => {
  await node.ip('link add br8 type bridge');
  await node.ip('address add 10.5.7.1/24 dev br8');
  const conf = node.conf({ bridge: 'br8' });
  await node.add(await node.pod(), { conf });
  await node.collect([], { bridge: 'br8' });
  expect(await node.ip('link show br8')).not.toContain('alias');
  await node.ip('link del br8');
});

test('a version of the specification without the command refuses it', async () => {
  const conf = node.conf({ cniVersion: '0.3.1' });
  expect(await node.refused('CHECK', await node.pod(), { conf })).toMatchObject({ code: 1, cniVersion: '0.3.1' });
  expect(await node.refused('GC', '', { conf: node.conf(PLAIN) })).toMatchObject({ code: 1 });
});
