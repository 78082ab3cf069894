// bgpd with a real felix, in a namespace of its own: what the kernel cannot reach is not used, `gingham routes` says why, and
// unequal shares get into the kernel.
//
//   [ gh<pid>f<n>  felix ── felix.sock ◀── bgpd node2 ── feed ──▶ felix ── routes ]     bgpd node3, node4 on the loopback
//
// The confusing thing: the nodes' underlay addresses are of the loopback, where bgpd runs. In felix's namespace the loopback
// has no addresses, so that there they are like any other, reached by routes that the test makes.

import { execFile } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { EXIT } from '../../lib/run/exit.ts';
import { eventually } from '../eventually.ts';
import { BgpdCluster, type BgpdNode } from './bgpd-cluster.ts';
import { FelixNode } from './felix-node.ts';

const ANYCAST = prefix('10.99.0.0/24');
const PATIENCE = { timeoutMs: 30_000, intervalMs: 20 };
const MAIN = join(import.meta.dirname, '../../dist/ctl/main.js');
const execute = promisify(execFile);

const FELIX = ['--feed=bgpd', '--status-address=192.0.2.1'];

let cluster: BgpdCluster;
let felix: FelixNode;
let a: BgpdNode;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
  felix = await FelixNode.make();
  await felix.ip('address flush dev lo');
  for (const node of [3, 4]) await felix.ip(`route add 127.0.0.${node}/32 dev u0`);
  a = await cluster.node(2, [3, 4]);
  await symlink(join(felix.runFolder, 'felix.sock'), join(a.runFolder, 'felix.sock'));
  await symlink(join(a.runFolder, 'bgpd.sock'), join(felix.runFolder, 'bgpd.sock'));
  for (const [number, weight] of [
    [3, 3],
    [4, 1],
  ] as const) {
    const config = join(felix.runFolder, `${number}.yaml`);
    await writeFile(config, `leases: {weight: ${weight}, communities: ["64512:${number}"]}\n`);
    const node = await cluster.node(number, [2], [`--config=${config}`]);
    node.originate([ANYCAST]);
  }
  felix.startFelix(FELIX);
  await eventually('the kernel has both', async () => (await weights())['10.5.3.0'] !== undefined, PATIENCE);
});

afterEach(async () => {
  await cluster.stop();
  await felix.remove();
});

test('shares in the kernel are those that the nodes ask for; the community of a lease is there', async () => {
  await eventually('both have their share', async () => (await weights())['10.5.4.0'] !== undefined, PATIENCE);
  expect(await weights()).toEqual({ '10.5.3.0': 3, '10.5.4.0': 1 });
  expect((await routes([ANYCAST, '--json'])).stdout).toContain('64512:3');
});

test('the underlay route to a next hop goes: its path loses, the other is used; it comes back', async () => {
  await eventually('felix tracks', async () => (await nextHops()).felix === 'tracking', PATIENCE);
  await eventually('both are used', () => a.gateways(ANYCAST)?.length === 2, PATIENCE);
  await felix.ip('route del 127.0.0.3/32');
  await eventually('the other is used', () => a.gateways(ANYCAST)?.join() === '10.5.4.0', PATIENCE);
  const explained = await routes([ANYCAST, '--explain']);
  expect(explained.stdout).toMatch(
    /node3 .* no .*next hop reachable\nnode3: the kernel has no route to 127\.0\.0\.3\n$/,
  );
  expect(explained.stdout).toMatch(/node4 .* best/);
  await eventually('the kernel follows', async () => Object.keys(await weights()).join() === '10.5.4.0', PATIENCE);
  await felix.ip('route add 127.0.0.3/32 dev u0');
  await eventually('both are used again', () => a.gateways(ANYCAST)?.length === 2, PATIENCE);
  await felix.ip('link set flannel.1 down');
  await eventually('none is used', () => a.gateways(ANYCAST) === undefined, PATIENCE);
  expect(await nextHops()).toMatchObject({ unreachable: { '127.0.0.3': 'flannel.1 is down' } });
  await felix.ip('link set flannel.1 up');
  await eventually('both are used once more', () => a.gateways(ANYCAST)?.length === 2, PATIENCE);
});

test('felix goes away: that is said, and routes stay as they are', async () => {
  await eventually('felix tracks', async () => (await nextHops()).felix === 'tracking', PATIENCE);
  await felix.endFelix('SIGKILL');
  await eventually('it is said', async () => (await nextHops()).felix === 'absent', PATIENCE);
  expect(a.gateways(ANYCAST)).toHaveLength(2);
  felix.startFelix(FELIX);
  await eventually('felix tracks again', async () => (await nextHops()).felix === 'tracking', PATIENCE);
});

test('gingham routes: all, one, by address, as JSON; what is not there, and what makes no sense', async () => {
  expect((await routes([])).stdout).toMatch(/^PREFIX +BEST FROM.*\n10\.99\.0\.0\/24 +node3 .*router id\n$/);
  expect((await routes(['10.99.0.7'])).stdout).toContain(ANYCAST);
  const json: unknown = JSON.parse((await routes([ANYCAST, '--json'])).stdout);
  expect(json).toMatchObject({
    prefix: ANYCAST,
    candidates: [{ isBest: true, lostAt: null }, { lostAt: 'router id' }],
  });
  expect(await routes(['10.98.0.0/24'])).toMatchObject({
    code: EXIT.internal,
    stderr: 'gingham: bgpd: there is no route to 10.98.0.0/24\n',
  });
  expect(await routes(['--explain'])).toMatchObject({ code: EXIT.usage });
  expect((await routes(['nonsense'])).stderr).toContain('"nonsense" is no prefix or address');
});

/** Weights of the kernel's next hops of the anycast route, by gateway. */
async function weights(): Promise<Record<string, number>> {
  const route = (await felix.routes()).find(({ dst }) => dst === ANYCAST);
  if (route?.nexthops === undefined) return route?.gateway === undefined ? {} : { [route.gateway]: 1 };
  return Object.fromEntries(route.nexthops.map(({ gateway, weight }) => [gateway, weight]));
}

async function nextHops(): Promise<{ readonly felix: string; readonly unreachable: Record<string, string> }> {
  const status = JSON.parse(await a.http('/status')) as { nextHops: Awaited<ReturnType<typeof nextHops>> };
  return status.nextHops;
}

async function routes(words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return await execute(process.execPath, [MAIN, 'routes', ...words, '--run-dir', a.runFolder]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}
