// flanneld as a whole on fakes: the order of its start, what it waits for, what it refuses, readiness, etcd away, the stop.
// Only the unix sockets and the files of the run folder are real.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readConfig } from '../../../flanneld/config.ts';
import { runFlanneld } from '../../../flanneld/daemon.ts';
import { encodeLease } from '../../../flanneld/lease/lease.ts';
import { watchFeed } from '../../../lib/feed/feed-client.ts';
import { feedSocketPath } from '../../../lib/feed/feed-server.ts';
import { FeedView } from '../../../lib/feed/feed-view.ts';
import { address } from '../../../lib/net/address.ts';
import { mac } from '../../../lib/net/mac.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { systemClock } from '../../../lib/run/clock.ts';
import type { RunningDaemon } from '../../../lib/run/lifecycle.ts';
import { eventually } from '../../eventually.ts';
import { FakeKernel } from '../../fakes/fake-kernel.ts';
import { MemoryEtcd } from '../../fakes/memory-registry.ts';

const CONFIG_KEY = '/coreos.com/network/config';
const SUBNETS = '/coreos.com/network/subnets/';

interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

describe('flanneld', () => {
  let folder: string;
  let etcd: MemoryEtcd;
  let kernel: FakeKernel;
  let lines: Record<string, unknown>[];
  let failure: unknown;
  let stopping: AbortController;
  let running: Promise<RunningDaemon> | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gh-flanneld-'));
    etcd = new MemoryEtcd(systemClock);
    kernel = new FakeKernel();
    const eth0 = kernel.addLink({ name: 'eth0', up: true, mtuBytes: 1500 });
    const own = { linkIndex: eth0.index, address: address('192.0.2.1'), prefixLength: 24 };
    kernel.foreign({ op: 'put', kind: 'address', address: own });
    lines = [];
    failure = undefined;
    stopping = new AbortController();
    running = undefined;
  });

  afterEach(async () => {
    await stop();
    await rm(folder, { recursive: true, force: true });
  });

  function start(...flags: readonly string[]): Promise<RunningDaemon> {
    const config = readConfig(['--node-name', 'me', '--run-dir', folder, '--status-port', '0', ...flags], {});
    const log = pino(
      { level: 'info' },
      { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    );
    const fail = (error: unknown): void => {
      failure = error;
    };
    const openPlane = (): never => {
      throw new Error('no plane in this test');
    };
    const parts = { registry: etcd.registry(), kernel, clock: systemClock, openPlane };
    running = runFlanneld(config, { log, signal: stopping.signal, fail }, parts);
    return running;
  }

  async function stop(): Promise<void> {
    stopping.abort();
    const daemon = await running?.catch(() => undefined);
    running = undefined;
    await daemon?.stop();
  }

  function ask(path: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: join(folder, 'flanneld.http'), path }, (answer) => {
        let body = '';
        answer.on('data', (bytes) => {
          body += String(bytes);
        });
        answer.on('end', () => resolve(path === '/metrics' ? body : JSON.parse(body)));
      });
      asked.once('error', reject).end();
    });
  }

  const ready = async (): Promise<Readiness> => (await ask('/readyz')) as Readiness;
  const configure = (text = '{"Network":"10.5.0.0/16"}'): void => void etcd.write(CONFIG_KEY, text);

  function peerLease(node: number, publicIp = `192.0.2.${node}`): string {
    const vtep = { vni: 1, mac: mac(`02:00:00:00:00:0${node}`) };
    return encodeLease({ publicIp: address(publicIp), backendType: 'vxlan', vtep, nodeName: `node${node}` });
  }

  test('leases, makes the device, writes subnet.env, serves the feed and says so', async () => {
    configure();
    etcd.write(`${SUBNETS}10.5.2.0-24`, peerLease(2));
    await start();
    await eventually('it is ready', async () => (await ready()).ready);
    const env = await readFile(join(folder, 'subnet.env'), 'utf8');
    expect(env).toMatch(/^FLANNEL_NETWORK=10.5.0.0\/16\nFLANNEL_SUBNET=10\.5\.\d+\.1\/24\nFLANNEL_MTU=1450\n/);
    expect(kernel.link('flannel.1')).toMatchObject({ up: true, alias: 'gingham', mtuBytes: 1450 });
    expect(await ask('/status')).toMatchObject({
      node: 'me',
      backend: 'vxlan',
      mtu: 1450,
      publicIP: '192.0.2.1',
      interface: 'eth0',
      etcd: { connected: true },
      peers: [{ node: 'node2', subnet: '10.5.2.0/24', publicIP: '192.0.2.2', programmed: true }],
    });
    const view = new FeedView();
    const watched = new AbortController();
    const socketPath = feedSocketPath(folder, 'flanneld');
    const log = pino({ level: 'silent' });
    const client = watchFeed(
      { socketPath, watcher: 'test', view, log, onChange: () => undefined, onState: () => undefined },
      watched.signal,
    );
    try {
      await eventually('the feed is in sync', () => view.synced);
      const group = view.groups.get(view.groupOf(prefix('10.5.2.0/24')) ?? 0);
      expect(group).toMatchObject({
        node: 'node2',
        endpoint: '192.0.2.2',
        nextHops: [{ gateway: '10.5.2.0', onlink: true }],
      });
      expect([...view.groups.values()].find(({ local }) => local)).toMatchObject({ kind: 'blackhole', node: 'me' });
    } finally {
      watched.abort();
      client.close();
    }
    expect(String(await ask('/metrics'))).toContain('gingham_flanneld_peers{state="programmed"} 1');
  });

  test('while it waits for the network config it lives and says what it waits for', async () => {
    const started = start();
    await eventually('it says so', async () => (await ready()).checks[0]?.detail.includes('network config'));
    await eventually('its log says why', async () =>
      lines.some(({ reason }) => String(reason).includes(`etcd has no ${CONFIG_KEY}`)),
    );
    configure();
    await started;
    await eventually('it is ready', async () => (await ready()).ready);
  });

  test('can be stopped while it waits, without complaint', async () => {
    etcd.setAway(true);
    const started = start();
    await eventually('it lives', () => ready());
    stopping.abort();
    await (await started).stop();
    running = undefined;
    expect(await readdir(folder)).toEqual([]);
  });

  test.each([
    [
      '{"Network":"10.5.0.0/16","SubnetLen":8}',
      3,
      /network config \/coreos\.com\/network\/config: SubnetLen 8 is not accepted/,
    ],
    [
      '{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard"}}',
      3,
      /Backend\.Type "wireguard" is not accepted: it takes one of vxlan, udp, ipip, host-gw/,
    ],
    ['{"Network":"fd00::/48"}', 3, /Network "fd00::\/48" is not accepted: it takes an IPv4 prefix/],
  ])('a config of %s ends it with one line', async (text, exitCode, message) => {
    configure(text);
    await expect(start()).rejects.toMatchObject({ exitCode, message: expect.stringMatching(message) });
  });

  test('an interface that is not there, and a kernel that forbids the device, end it with one line', async () => {
    configure();
    await expect(start('--iface', 'eth7')).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('eth7'),
    });
    kernel = new FakeKernel();
    kernel.addLink({ name: 'eth0', up: true });
    kernel.foreign({
      op: 'put',
      kind: 'address',
      address: { linkIndex: 2, address: address('192.0.2.1'), prefixLength: 24 },
    });
    kernel.failNext('put link', 'EPERM');
    await expect(start()).rejects.toMatchObject({ exitCode: 4, message: expect.stringContaining('NET_ADMIN') });
    expect(etcd.snapshot(SUBNETS).entries).toEqual([]);
  });

  test('a device that another backend left in this network is removed, another network keeps its own', async () => {
    const former = kernel.addLink({ name: 'flannel0', type: 'tun', alias: 'gingham' });
    const other = kernel.addLink({ name: 'flannel.7', type: 'vxlan', alias: 'gingham' });
    const at = (linkIndex: number, text: string) => ({ linkIndex, address: address(text), prefixLength: 32 });
    kernel.foreign(
      { op: 'put', kind: 'address', address: at(former.index, '10.5.9.0') },
      { op: 'put', kind: 'address', address: at(other.index, '10.9.9.0') },
    );
    configure();
    await start();
    expect(
      kernel
        .links()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['eth0', 'flannel.1', 'flannel.7', 'lo']);
  });

  test('a malformed lease of another node is counted and logged, the others work', async () => {
    configure();
    etcd.write(`${SUBNETS}10.5.3.0-24`, '{"PublicIP":');
    etcd.write(`${SUBNETS}10.5.2.0-24`, peerLease(2));
    await start();
    await eventually('the good peer is programmed', async () => (await ready()).ready && kernel.fdb().length === 1);
    expect(await ask('/status')).toMatchObject({ malformedLeases: 1, peers: [{ node: 'node2' }] });
    expect(String(await ask('/metrics'))).toContain('gingham_flanneld_malformed_leases_total 1');
    expect(lines.find(({ msg }) => String(msg).includes('no lease'))).toMatchObject({ key: `${SUBNETS}10.5.3.0-24` });
  });

  test('etcd away: it serves from memory, ready and telling so, and follows again afterwards', async () => {
    configure();
    etcd.write(`${SUBNETS}10.5.2.0-24`, peerLease(2));
    await start();
    await eventually('it is ready', async () => (await ready()).ready);
    etcd.setAway(true);
    const noticed = await eventually('it noticed', async () => {
      const readiness = await ready();
      return readiness.checks[0]?.detail.startsWith('serving from memory') ? readiness : undefined;
    });
    expect(noticed.ready).toBe(true);
    expect(noticed.checks[0]).toEqual({
      name: 'etcd',
      ok: true,
      detail: expect.stringMatching(/^serving from memory since \d{4}-.*: connection refused$/),
    });
    expect(String(await ask('/metrics'))).toContain('gingham_flanneld_degraded 1');
    expect(kernel.fdb()).toHaveLength(1);
    etcd.write(`${SUBNETS}10.5.3.0-24`, peerLease(3));
    etcd.setAway(false);
    await eventually('the new peer is there', async () => (await ready()).ready && kernel.fdb().length === 2);
  });

  test('its lease deleted by hand is back; taken by another node it ends with a conflict', async () => {
    configure();
    await start();
    await eventually('it is ready', async () => (await ready()).ready);
    const { lease } = (await ask('/status')) as { lease: { key: string } };
    etcd.erase(lease.key);
    await eventually('it is back', () => etcd.entry(lease.key));
    expect(failure).toBeUndefined();
    etcd.write(lease.key, peerLease(9));
    await eventually('it gives up', () => failure !== undefined);
    expect(failure).toMatchObject({ exitCode: 5, message: expect.stringContaining('node node9 at 192.0.2.9') });
  });

  test('a restart keeps subnet, MAC address and device; a stop touches neither', async () => {
    configure();
    await start();
    await eventually('it is ready', async () => (await ready()).ready);
    const before = { status: (await ask('/status')) as { subnet: string }, link: kernel.link('flannel.1') };
    await stop();
    expect(await readdir(folder)).toEqual(['pods', 'subnet.env']);
    expect(kernel.link('flannel.1')).toEqual(before.link);
    expect(etcd.snapshot(SUBNETS).entries).toHaveLength(1);
    stopping = new AbortController();
    const again = new FakeKernel();
    for (const link of kernel.links()) if (link.name !== 'lo') again.addLink(link);
    for (const own of kernel.addresses()) again.foreign({ op: 'put', kind: 'address', address: own });
    kernel = again;
    await start();
    await eventually('it is ready', async () => (await ready()).ready);
    expect(await ask('/status')).toMatchObject({ subnet: before.status.subnet });
    expect(kernel.link('flannel.1')).toEqual(before.link);
  });

  test("the underlay's MTU is followed to the device and to subnet.env", async () => {
    configure();
    await start();
    await eventually('it is ready', async () => (await ready()).ready);
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'eth0', mtuBytes: 9000 } });
    await eventually('the device has it', () => kernel.link('flannel.1')?.mtuBytes === 8950);
    const file = join(folder, 'subnet.env');
    await eventually('so has subnet.env', async () => (await readFile(file, 'utf8')).includes('FLANNEL_MTU=8950'));
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'eth0', up: false } });
    await eventually('a link that is down shows', async () => {
      return (await ready()).checks.some(({ name, ok }) => name === 'underlay' && !ok);
    });
  });
});
