// Real flannelds whose data plane takes owners of prefixes from bgpd's feed, which the test plays: a prefix that no lease
// knows is carried once a route says who has it, and refused before and after. On the way, what was refused is counted
// where an operator looks: /status and /metrics.

import { request } from 'node:http';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { feedSocketPath, startFeedServer } from '../../lib/feed/feed-server.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { address } from '../../lib/net/address.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { FlanneldRig, firstAddress } from './flanneld-rig.ts';

const ANYCAST = '10.99.0.1';
const ANYCAST_PREFIX = prefix('10.99.0.0/24');
const log = pino({ level: 'silent' });

interface PlaneStatus {
  readonly drops: Readonly<Record<string, number>>;
  readonly routesFromBgpd: { readonly state: string; readonly prefixes: number };
}

let rig: FlanneldRig | undefined;
let closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers) await close();
  closers = [];
  await rig?.remove();
  rig = undefined;
});

async function startAll(type: string, flags: readonly string[] = []): Promise<FlanneldRig> {
  const made = await FlanneldRig.make({ Network: '10.5.0.0/16', Backend: { Type: type } });
  rig = made;
  for (const node of [1, 2, 3]) made.start(node, flags);
  for (const node of [1, 2, 3]) await made.ready(node, 2);
  for (const node of [1, 2, 3]) await made.route(node);
  return made;
}

/** Plays the bgpd of a node: every node that is named has the prefix. */
async function bgpdOf(made: FlanneldRig, node: number): Promise<FeedTable> {
  const table = new FeedTable();
  const server = await startFeedServer({ socketPath: feedSocketPath(made.runFolder(node), 'bgpd'), table, log });
  closers.push(() => server.close());
  table.markInSync();
  return table;
}

async function metrics(made: FlanneldRig, node: number): Promise<Record<string, number>> {
  const socketPath = join(made.runFolder(node), 'flanneld.http');
  const text = await new Promise<string>((resolve, reject) => {
    request({ socketPath, path: '/metrics' }, (answer) => {
      let body = '';
      answer.on('data', (bytes) => {
        body += String(bytes);
      });
      answer.on('end', () => resolve(body));
    })
      .once('error', reject)
      .end();
  });
  const found = text.matchAll(/dropped_packets_total\{reason="([a-z-]+)"\} (\d+)/g);
  return Object.fromEntries(Array.from(found, ([, reason = '', count]) => [reason, Number(count)]));
}

describe.each([
  ['udp', 'flannel0'],
  ['ipip', 'flannel.ipip'],
])('%s', (type, device) => {
  test('a prefix that no lease knows is carried while a route says who has it', async () => {
    const made = await startAll(type);
    const subnets = await Promise.all([1, 2].map(async (node) => (await made.status(node)).subnet));
    const [source, gateway] = subnets.map(firstAddress) as [string, string];
    await made.inside(2, 'ip', 'address', 'add', `${ANYCAST}/32`, 'dev', 'lo');
    await made.inside(1, 'ip', 'route', 'add', ANYCAST_PREFIX, 'via', gateway, 'dev', device, 'onlink');
    const ping = (): Promise<string> =>
      made
        .inside(1, 'ping', '-n', '-c', '3', '-i', '0.05', '-W', '1', '-I', source, ANYCAST)
        .catch((error: { stdout?: string }) => error.stdout ?? '');
    const plane = async (): Promise<PlaneStatus> => (await made.ask(1, '/status')) as PlaneStatus;

    // felix routed it before anybody told the plane: refused, said to the sender, and counted.
    expect(await ping()).toContain('Destination Net Unreachable');
    expect((await plane()).routesFromBgpd).toEqual({ state: 'absent', prefixes: 0 });
    await eventually('the refusals are counted', async () => ((await plane()).drops['tx-no-route'] ?? 0) >= 3);
    expect((await metrics(made, 1))['tx-no-route']).toBe((await plane()).drops['tx-no-route']);

    const table = await bgpdOf(made, 1);
    const hop = { gateway: address(gateway), device, onlink: true, weight: 1 };
    table.setGroup({ id: 1, kind: 'unicast', nextHops: [hop], local: false, node: '' });
    table.setRoutes(1, [ANYCAST_PREFIX]);
    await eventually('the route', async () => (await plane()).routesFromBgpd.prefixes === 1);
    await eventually('an answer through the tunnel', async () => (await ping()).includes(' 3 received'));

    table.withdraw([ANYCAST_PREFIX]);
    await eventually('no answer any more', async () => (await ping()).includes(' 0 received'));
    // What the other node goes on sending from there has a source that is nobody's now.
    await made
      .inside(2, 'ping', '-n', '-c', '2', '-i', '0.05', '-W', '1', '-I', ANYCAST, source)
      .catch(() => undefined);
    await eventually('the spoofed source is counted', async () => {
      return ((await metrics(made, 1))['rx-spoofed-source'] ?? 0) >= 2;
    });
  });
});

test('vxlan-user: a source that no lease knows is taken while a route says whose it is', async () => {
  const made = await startAll('vxlan', ['--vxlan-user']);
  const subnets = await Promise.all([1, 2].map(async (node) => (await made.status(node)).subnet));
  const [source, gateway] = subnets.map(firstAddress) as [string, string];
  await made.inside(2, 'ip', 'address', 'add', `${ANYCAST}/32`, 'dev', 'lo');
  await made.inside(1, 'ip', 'route', 'add', ANYCAST_PREFIX, 'via', gateway, 'dev', 'flannel.1', 'onlink');
  const ping = (): Promise<string> =>
    made
      .inside(1, 'ping', '-n', '-c', '2', '-i', '0.05', '-W', '1', '-I', source, ANYCAST)
      .catch((error: { stdout?: string }) => error.stdout ?? '');
  expect(await ping()).toContain(' 0 received');
  await eventually('the answers were refused', async () => ((await metrics(made, 1))['rx-spoofed-source'] ?? 0) >= 2);
  const table = await bgpdOf(made, 1);
  const hop = { gateway: address(gateway), device: 'flannel.1', onlink: true, weight: 1 };
  table.setGroup({ id: 1, kind: 'unicast', nextHops: [hop], local: false, node: '' });
  table.setRoutes(1, [ANYCAST_PREFIX]);
  await eventually('an answer through the tunnel', async () => (await ping()).includes(' 2 received'));
});
