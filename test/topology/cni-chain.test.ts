// The plugin first in a list of plugins, as runtimes run them: each gets the result of the one before, DEL runs backwards.
// The others are the CNI project's own (Debian package containernetworking-plugins).

import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CniNode, type ResultJson, STOCK_PLUGINS } from './cni-node.ts';

const OWN = { type: 'gingham-cni', capabilities: { mac: true, ips: true } };
const SERVER = `require('net').createServer((s) => s.end('from the pod')).listen(80, () => console.log('listens'))`;

interface PluginConf {
  readonly type: string;
}

let node: CniNode;

beforeAll(async () => {
  node = await CniNode.make();
});
afterAll(() => node.remove());

/** Runs a command over the list; the last result. */
async function runList(
  command: 'ADD' | 'CHECK' | 'DEL',
  pod: string,
  plugins: readonly PluginConf[],
  runtimeConfig: object = {},
  before?: ResultJson,
): Promise<ResultJson | undefined> {
  let prevResult = before;
  for (const plugin of command === 'DEL' ? plugins.toReversed() : plugins) {
    const conf = { ...node.conf(), cniVersion: '1.0.0', ...plugin, runtimeConfig, ...(prevResult && { prevResult }) };
    const path = plugin.type === OWN.type ? {} : { plugin: join(STOCK_PLUGINS, plugin.type) };
    const { code, stdout, stderr } = await node.call(command, pod, { conf, ...path });
    if (code !== 0) throw new Error(`${plugin.type} ${command}: ${stdout}${stderr}`);
    if (command === 'ADD') prevResult = JSON.parse(stdout) as ResultJson;
  }
  return prevResult;
}

test('tuning changes MAC, MTU and a sysctl of the pod, and CHECK of both is content with it', async () => {
  const pod = await node.pod();
  const tuning = {
    type: 'tuning',
    mac: '02:11:22:33:44:55',
    mtu: 1400,
    sysctl: { 'net.ipv4.conf.eth0.arp_filter': '1' },
  };
  const result = await runList('ADD', pod, [OWN, tuning]);
  expect(result?.interfaces.find(({ name }) => name === 'eth0')?.mac).toBe('02:11:22:33:44:55');
  expect(await node.ip('-o link show eth0', pod)).toMatch(/mtu 1400 .*02:11:22:33:44:55/);
  await runList('CHECK', pod, [OWN, tuning], {}, result);
  await runList('DEL', pod, [OWN, tuning], {}, result);
  expect(await node.ip('-o link show')).not.toMatch(/: gh[0-9a-f]{11}@/);
  expect(await node.allocated()).toEqual([]);
});

test('bandwidth shapes what goes to the pod and what comes from it, and takes its devices along', async () => {
  const pod = await node.pod();
  const bandwidth = { type: 'bandwidth', capabilities: { bandwidth: true } };
  const limits = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 8_000_000, egressBurst: 800_000 };
  const result = await runList('ADD', pod, [OWN, bandwidth], { bandwidth: limits });
  const host = result?.interfaces.find(({ name }) => name.startsWith('gh'))?.name ?? '';
  expect(await node.run(['tc', 'qdisc', 'show', 'dev', host])).toMatch(/tbf .*rate 8Mbit/);
  await runList('CHECK', pod, [OWN, bandwidth], { bandwidth: limits }, result);
  await runList('DEL', pod, [OWN, bandwidth], { bandwidth: limits }, result);
  expect(await node.ip('-o link show')).not.toMatch(/: (gh|bwp)[0-9a-f]+/);
});

test('portmap publishes a port of the pod on the node, for others and for the node itself', async () => {
  const pod = await node.pod();
  const [outside] = (await node.pods(1)) as [string];
  await node.ip(`link add o0 type veth peer name eth0 netns ${outside}`);
  await node.ip('address add 192.0.2.1/24 dev o0');
  await node.ip('link set o0 up');
  await node.ip('address add 192.0.2.2/24 dev eth0', outside);
  await node.ip('link set eth0 up', outside);
  const portmap = { type: 'portmap', capabilities: { portMappings: true }, snat: true };
  const mappings = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };
  const result = await runList('ADD', pod, [OWN, portmap], mappings);
  // Not of portmap: Debian's 1.1.1 looks for IPv4 rules among those of IPv6, and never finds them.
  await runList('CHECK', pod, [OWN], mappings, result);
  const server = await node.start([process.execPath, '-e', SERVER], pod, 'listens');
  try {
    const client = `require('net').connect(8080, '192.0.2.1').on('data', (b) => process.stdout.write(b))`;
    expect(await node.run([process.execPath, '-e', client], outside)).toBe('from the pod');
    expect(await node.run([process.execPath, '-e', client])).toBe('from the pod');
  } finally {
    server.kill('SIGKILL');
  }
  await runList('DEL', pod, [OWN, portmap], mappings, result);
  expect(await node.run(['iptables-save', '-t', 'nat'])).not.toContain('8080');
});
