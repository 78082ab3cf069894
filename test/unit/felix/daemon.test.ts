// felix as a daemon on the fake kernel, with real sockets: what it says of itself, step by step, and its settings.
//
// /proc/sys is a folder of the test: nothing here changes the machine.

import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FelixConfig, readConfig } from '../../../felix/config.ts';
import { startFelix } from '../../../felix/daemon.ts';
import { Forwarding } from '../../../felix/dataplane/forwarding.ts';
import { type FeedServer, feedSocketPath, startFeedServer } from '../../../lib/feed/feed-server.ts';
import type { FeedTable } from '../../../lib/feed/feed-table.ts';
import type { Route } from '../../../lib/kernel/kernel.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { type Clock, systemClock } from '../../../lib/run/clock.ts';
import type { RunningDaemon } from '../../../lib/run/lifecycle.ts';
import { eventually } from '../../eventually.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import type { FakeKernel } from '../../fakes/fake-kernel.ts';
import { FakeNft } from '../../fakes/fake-nft.ts';
import { meshFeed, nodeKernel, subnet, vtepGroup } from './felix-bench.ts';

const log = pino({ level: 'silent' });
const SETTINGS = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'];

let folder = '';
let sysctls = '';
let closers: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gingham-felix-'));
  sysctls = join(folder, 'sys');
  await mkdir(join(sysctls, 'net/ipv4'), { recursive: true });
  await mkdir(join(sysctls, 'net/ipv6/conf/all'), { recursive: true });
  for (const setting of SETTINGS) await writeFile(join(sysctls, setting), '0\n');
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
  await rm(folder, { recursive: true, force: true });
});

const config = (flags: readonly string[] = []): FelixConfig =>
  readConfig(['--run-dir', folder, '--node-name', 'n1', '--status-port', '0', ...flags], {});

async function start(
  kernel: FakeKernel,
  clock: Clock = systemClock,
  flags: readonly string[] = [],
): Promise<RunningDaemon> {
  const stopping = new AbortController();
  const context = {
    log,
    signal: stopping.signal,
    fail(error: unknown) {
      throw error;
    },
  };
  const world = { kernel, clock, forwarding: new Forwarding(log, sysctls), nft: new FakeNft() };
  const felix = await startFelix(config(flags), context, world);
  closers.push(() => felix.stop());
  return felix;
}

async function serve(table: FeedTable, name = 'flanneld'): Promise<FeedServer> {
  const server = await startFeedServer({ socketPath: feedSocketPath(folder, name), table, log });
  closers.push(() => server.close());
  return server;
}

function http(path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get({ socketPath: join(folder, 'felix.http'), path }, (response) => {
      let body = '';
      response.on('data', (bytes) => {
        body += String(bytes);
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    }).on('error', reject);
  });
}

async function failing(): Promise<string[]> {
  const { checks } = JSON.parse((await http('/readyz')).body) as { checks: { name: string; ok: boolean }[] };
  return checks.filter(({ ok }) => !ok).map(({ name }) => name);
}

describe('felix as a daemon', () => {
  it('becomes ready check by check, and tells what it has done', async () => {
    const kernel = nodeKernel();
    await start(kernel);
    await eventually('the kernel is listed', async () => !(await failing()).includes('kernel'));
    expect(await failing()).toEqual(['flanneld-feed', 'first-apply']);
    expect((await http('/readyz')).status).toBe(503);
    const table = meshFeed(2);
    await serve(table);
    await eventually('ready', async () => (await http('/readyz')).status === 200);
    const status = JSON.parse((await http('/status')).body) as Record<string, unknown>;
    expect(status).toMatchObject({
      node: 'n1',
      mode: 'flannel',
      feed: { name: 'flanneld', state: 'in-sync', routes: 3 },
      routes: { wanted: 3, programmed: 3, shown: 3 },
      nexthops: { objects: true, hops: 2, inKernel: 4 },
      repairs: { route: { deleted: 0, added: 0, modified: 0 } },
      heldDeletes: 0,
    });
    expect((status['routes'] as { list: unknown[] }).list[1]).toEqual({
      prefix: '10.5.2.0/24',
      kind: 'unicast',
      node: 'n2',
      nextHops: [{ gateway: '10.5.2.0', device: 'flannel.1', onlink: true, weight: 1 }],
      state: 'programmed',
    });
    const { body } = await http('/metrics');
    expect(body).toContain('gingham_felix_routes_programmed 3');
    expect(body).toContain('gingham_felix_feed_state{feed="flanneld",state="in-sync"} 1');
    expect((await stat(join(folder, 'felix.http'))).mode & 0o777).toBe(0o600);
  });

  it('holds deletes while the feed is away, as long as it was told, and shows how many', async () => {
    const kernel = nodeKernel();
    const clock = new FakeClock();
    const server = await serve(meshFeed(2));
    await start(kernel, clock);
    await eventually('ready', async () => (await http('/readyz')).status === 200);
    await server.close();
    await eventually('stale', async () => (await failing()).includes('flanneld-feed'));
    const [route] = kernel.routes(71);
    kernel.foreign({ op: 'put', kind: 'route', route: { ...(route as Route), prefix: subnet(77) } });
    const held = async (): Promise<boolean> => (await http('/metrics')).body.includes('gingham_felix_deletes_held 1');
    await eventually('held', held);
    clock.advance(119_000);
    await eventually('still held', held);
    expect(kernel.routes(71)).toHaveLength(4);
    clock.advance(1_000);
    await eventually('deleted in the end', () => kernel.routes(71).length === 3);
    await eventually('shown', async () => (await http('/metrics')).body.includes('gingham_felix_deletes_held 0'));
  });

  it('turns on IPv4 forwarding at once, IPv6 forwarding with the first IPv6 route', async () => {
    const read = (setting: string) => readFile(join(sysctls, setting), 'utf8');
    const table = meshFeed(1);
    await serve(table);
    await start(nodeKernel());
    await eventually('ready', async () => (await http('/readyz')).status === 200);
    expect((await Promise.all(SETTINGS.map(read))).map((text) => text.trim())).toEqual(['1', '0']);
    table.setGroup({ ...vtepGroup(9, 'fd00:9::'), id: 9 });
    table.setRoutes(9, ['fd00:9::/64' as never]);
    await eventually('IPv6 too', async () => (await read(SETTINGS[1] as string)).trim() === '1');
  });

  it('is not ready, and says why, where forwarding cannot be turned on', async () => {
    await rm(join(sysctls, 'net/ipv4'), { recursive: true });
    await serve(meshFeed(1));
    await start(nodeKernel());
    await eventually('all but one', async () => (await failing()).join() === 'forwarding');
    expect((await http('/readyz')).body).toContain('net.ipv4.ip_forward cannot be read');
  });

  it('does not start without the permission to write routes', async () => {
    const kernel = nodeKernel();
    kernel.failNext('delete nexthop', 'EPERM');
    await expect(start(kernel)).rejects.toMatchObject({ exitCode: 4, message: expect.stringContaining('NET_ADMIN') });
  });

  it('takes each class of routes from the feed that has it, and holds deletes while one of them is away', async () => {
    const kernel = nodeKernel();
    const clock = new FakeClock();
    const [leases, exchanged] = [meshFeed(3), meshFeed(2)];
    leases.setGroup({ id: 99, kind: 'unreachable', nextHops: [], local: false, node: '' });
    leases.setRoutes(99, [prefix('10.5.0.0/16')]);
    await serve(exchanged, 'bgpd');
    await start(kernel, clock, ['--feed', 'bgpd,flanneld:network']);
    await eventually('what is there is programmed', () => kernel.routes(71).length === 3);
    const server = await serve(leases);
    await eventually('ready', async () => {
      clock.advance(250);
      return (await http('/readyz')).status === 200;
    });
    // 10.5.3.0/24 is in the leases only, whose nodes are not taken.
    expect(
      kernel
        .routes(71)
        .map(({ type, prefix: to, metric }) => `${type} ${to} ${metric}`)
        .sort(),
    ).toEqual([
      ...['blackhole 10.5.1.0/24 32767', 'unicast 10.5.2.0/24 0'],
      'unicast 10.5.3.0/24 0',
      'unreachable 10.5.0.0/16 4294967295',
    ]);
    await server.close();
    await eventually('the feed is away', async () => (await failing()).includes('flanneld-feed'));
    exchanged.withdraw([subnet(2)]);
    // The route, its group and its next hop.
    await eventually('three deletions are held', async () => (await http('/status')).body.includes('"heldDeletes":3'));
    expect(kernel.routes(71)).toHaveLength(4);
  });

  it('stops without touching the kernel', async () => {
    const kernel = nodeKernel();
    await serve(meshFeed(2));
    const felix = await start(kernel);
    await eventually('ready', async () => (await http('/readyz')).status === 200);
    const before = kernel.routes();
    kernel.clearRecords();
    await felix.stop();
    closers = closers.slice(0, 1);
    expect(kernel.writes).toEqual([]);
    expect(kernel.routes()).toEqual(before);
    expect(kernel.subscriberCount).toBe(0);
  });
});

describe('settings', () => {
  it.each([
    [
      ['--feed', 'calico'],
      'felix: --feed "calico" is not accepted: --feed takes a comma-separated list of flanneld and bgpd, each with classes of routes after a colon where not all are meant: bgpd,flanneld:network',
    ],
    [
      ['--feed', 'bgpd,flanneld'],
      'felix: --feed gives local and nodes to both bgpd and flanneld: each class of routes (local, nodes, network) comes from one feed, as in --feed bgpd,flanneld:network',
    ],
    [
      ['--feed', 'flanneld:network,flanneld:nodes'],
      'felix: --feed names flanneld twice: each class of routes (local, nodes, network) comes from one feed, as in --feed bgpd,flanneld:network',
    ],
    [
      ['--route-table', '255'],
      'felix: --route-table "255" is not accepted: --route-table takes the number of a routing table from 1 to 4294967295, but not 255 (local)',
    ],
    [
      ['--resync-interval-seconds', '0'],
      'felix: --resync-interval-seconds "0" is not accepted: --resync-interval-seconds takes a whole number of seconds from 1 to 86400',
    ],
    [
      ['--status-port', '70000'],
      'felix: --status-port "70000" is not accepted: --status-port takes a port from 0 to 65535',
    ],
  ])('refuses %s', (flags, message) => {
    expect(() => config(flags)).toThrow(expect.objectContaining({ message, exitCode: 2 }));
  });

  it('come from variables too, and flags win', () => {
    const env = { FELIX_FEED: 'bgpd', FELIX_STALE_HOLD_SECONDS: '7' };
    expect(readConfig([], env)).toMatchObject({ feeds: [{ feed: 'bgpd' }], staleHoldMs: 7_000, statusPort: 9253 });
    expect(readConfig(['--feed', 'flanneld'], env).feeds).toEqual([
      { feed: 'flanneld', classes: ['local', 'nodes', 'network'] },
    ]);
    expect(readConfig(['--feed=bgpd,flanneld:network', '--network-unreachable=false'], env).feeds).toEqual([
      { feed: 'bgpd', classes: ['local', 'nodes'] },
    ]);
  });
});
