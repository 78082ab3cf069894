// The life of a held lease on a fake clock: renewal, loss, hand edits, lost answers, etcd away, a real conflict.
// etcd is in memory and away, slow or forgetful when a test says so; hours pass in milliseconds.

import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { acquireLease, type HeldLease, type LeaseTerms } from '../../../../flanneld/lease/acquire-lease.ts';
import { decodeLease, encodeLease, type Lease, leaseFolder } from '../../../../flanneld/lease/lease.ts';
import { LeaseHolder } from '../../../../flanneld/lease/lease-holder.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../../../flanneld/lease/network-config.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { MemoryEtcd } from '../../../fakes/memory-registry.ts';

const CONFIG = parseNetworkConfig('{"Network":"10.5.0.0/16"}') as NetworkConfig;
const NEVER = new AbortController().signal;
const TTL_SECONDS = 3_600;

describe('a held lease', () => {
  let clock: FakeClock;
  let etcd: MemoryEtcd;
  let terms: LeaseTerms;
  let held: HeldLease;
  let holder: LeaseHolder;
  let stopping: AbortController;
  let end: Promise<unknown>;

  beforeEach(async () => {
    clock = new FakeClock();
    etcd = new MemoryEtcd(clock);
    stopping = new AbortController();
    terms = {
      registry: etcd.registry(),
      clock,
      log: pino({ level: 'silent' }),
      etcdPrefix: '/net',
      config: CONFIG,
      nodeName: 'me',
      publicIps: ['192.0.2.1'],
      previous: { subnet: prefix('10.5.7.0/24') },
      ttlSeconds: TTL_SECONDS,
      attributes: (_, before) => ({
        publicIp: address('192.0.2.1'),
        backendType: 'vxlan',
        vtep: { vni: 1, mac: before?.vtep?.mac ?? mac('02:00:00:00:00:01') },
        nodeName: 'me',
      }),
    };
    await start();
  });

  afterEach(() => stopping.abort());

  async function start(marginSeconds = 600): Promise<void> {
    held = await acquireLease(terms, NEVER);
    holder = new LeaseHolder(terms, held, marginSeconds);
    const watched = new AbortController();
    stopping.signal.addEventListener('abort', () => watched.abort());
    etcd.registry().watch(leaseFolder('/net'), (event) => holder.observe(event), watched.signal);
    end = holder.hold(stopping.signal).catch((error: unknown) => error);
    await clock.advanceAsync(0);
  }

  function found(): Lease {
    return decodeLease(held.entry.key, etcd.entry(held.entry.key)?.value ?? 'gone') as Lease;
  }

  test('is renewed before it ends, for ever, and each renewal frees the lease before it', async () => {
    await clock.advanceAsync(TTL_SECONDS * 10_000);
    expect(etcd.entry(held.entry.key)?.modRevision).toBeGreaterThan(held.entry.modRevision);
    expect(holder.counts.renewals).toBeGreaterThanOrEqual(10);
    expect(holder.counts.renewals).toBeLessThan(16);
    expect(holder.counts).toMatchObject({ failures: 0, retaken: 0 });
    expect(holder.secondsLeft).toBeGreaterThan(600);
    expect(etcd.leaseIds).toHaveLength(1);
  });

  test('the margin is at most half of the time', async () => {
    await clock.advanceAsync(1_000);
    const greedy = new LeaseHolder(terms, held, 86_400);
    const ended = greedy.hold(stopping.signal).catch((error: unknown) => error);
    await clock.advanceAsync((TTL_SECONDS / 4) * 1000);
    expect(greedy.counts.renewals).toBe(0);
    await clock.advanceAsync((TTL_SECONDS / 4) * 1000);
    expect(greedy.counts.renewals).toBe(1);
    stopping.abort();
    await ended;
  });

  test('between two renewals etcd is not asked anything', async () => {
    const before = new Map(etcd.calls);
    await clock.advanceAsync(2_000_000);
    expect(etcd.calls.get('get')).toBe(before.get('get'));
    expect(etcd.calls.get('put')).toBe(before.get('put'));
  });

  test('attributes that change while the last change is being written are written next', async () => {
    stopping.abort();
    stopping = new AbortController();
    let publicIp = address('192.0.2.1');
    const former = terms;
    terms = {
      ...former,
      attributes: (subnets, before) => {
        const taken = { ...former.attributes(subnets, before), publicIp };
        // There and back: the way back is told while the way there is on its way to etcd.
        if (publicIp === '192.0.2.9') {
          queueMicrotask(() => {
            publicIp = address('192.0.2.1');
            holder.refresh();
          });
        }
        return taken;
      },
    };
    await start();
    publicIp = address('192.0.2.9');
    holder.refresh();
    await clock.advanceAsync(0);
    expect(holder.counts.renewals).toBe(2);
    expect(found().publicIp).toBe('192.0.2.1');
  });

  test('is taken back at once when somebody deletes it', async () => {
    etcd.erase(held.entry.key);
    await clock.advanceAsync(0);
    expect(found()).toMatchObject({ subnet: '10.5.7.0/24', nodeName: 'me', vtep: { mac: '02:00:00:00:00:01' } });
    expect(holder.counts.retaken).toBe(1);
  });

  test('is taken back when the whole prefix is deleted and when etcd comes back from an older copy', async () => {
    etcd.restore([], 1n);
    await clock.advanceAsync(500);
    expect(found()).toMatchObject({ subnet: '10.5.7.0/24', nodeName: 'me' });
  });

  test('is taken back when it expires, although renewal failed for longer than it lasts', async () => {
    etcd.setAway(true);
    await clock.advanceAsync(TTL_SECONDS * 2_000);
    expect(etcd.entry(held.entry.key)).toBeUndefined();
    expect(holder.secondsLeft).toBeLessThan(0);
    expect(holder.counts.failures).toBeGreaterThan(10);
    expect(holder.counts.failures).toBeLessThan((TTL_SECONDS * 2) / 15);
    etcd.setAway(false);
    await clock.advanceAsync(31_000);
    expect(found()).toMatchObject({ subnet: '10.5.7.0/24', nodeName: 'me' });
    expect(holder.secondsLeft).toBeGreaterThan(0);
  });

  test.each(['', '{"PublicIP":"192.0.2.1","NodeName":"me"}'])(
    'is written again when a hand edits it to %j',
    async (value) => {
      etcd.write(held.entry.key, value);
      await clock.advanceAsync(0);
      expect(found()).toMatchObject({ nodeName: 'me', backendType: 'vxlan', vtep: { vni: 1 } });
      expect(holder.counts.retaken).toBe(0);
    },
  );

  test('two daemons that edit each other do so no faster than once a second', async () => {
    for (let i = 0; i < 100; i++) {
      etcd.write(held.entry.key, `{"PublicIP":"192.0.2.1","NodeName":"me","n":${i}}`);
      await clock.advanceAsync(50);
    }
    expect(etcd.calls.get('put')).toBeLessThan(10);
    await clock.advanceAsync(1_000);
    expect(found()).toMatchObject({ backendType: 'vxlan' });
  });

  test('a renewal whose answer was lost is recognised as our own', async () => {
    etcd.failNext({ operation: 'put', how: 'lost-answer' });
    await clock.advanceAsync(TTL_SECONDS * 1000);
    expect(etcd.faultsLeft).toBe(0);
    expect(holder.counts).toMatchObject({ retaken: 0, failures: 1 });
    await clock.advanceAsync(TTL_SECONDS * 1000);
    expect(etcd.entry(held.entry.key)).toBeDefined();
    expect(etcd.leaseIds).toHaveLength(1);
  });

  test.each(['list', 'get', 'put'] as const)(
    'a %s that fails while it is taken back is tried again',
    async (operation) => {
      etcd.failNext({ operation, how: 'unavailable' });
      etcd.erase(held.entry.key);
      await clock.advanceAsync(2_000);
      expect(etcd.faultsLeft).toBe(0);
      expect(found()).toMatchObject({ nodeName: 'me' });
    },
  );

  test('another node that took the subnet ends it, and is named', async () => {
    etcd.write(
      held.entry.key,
      encodeLease({
        publicIp: address('192.0.2.2'),
        backendType: 'vxlan',
        nodeName: 'you',
        vtep: { vni: 1, mac: mac('02:00:00:00:00:02') },
      }),
    );
    await clock.advanceAsync(2_500);
    expect(await end).toMatchObject({
      name: 'ExitError',
      exitCode: 5,
      message: expect.stringMatching(/^the subnet 10\.5\.7\.0\/24 of this node is held by node you at 192\.0\.2\.2/),
    });
    expect(found()).toMatchObject({ nodeName: 'you' });
  });

  test('a namesake at another address ends it, and is called one', async () => {
    etcd.write(held.entry.key, encodeLease({ publicIp: address('192.0.2.2'), backendType: 'host-gw', nodeName: 'me' }));
    await clock.advanceAsync(2_500);
    expect(await end).toMatchObject({
      exitCode: 5,
      message: expect.stringContaining('also calls itself me (at 192.0.2.2)'),
    });
  });

  test('a lease that overlaps it, taken while it was lost, ends it', async () => {
    etcd.setAway(true);
    etcd.erase(held.entry.key);
    etcd.write(
      '/net/subnets/10.5.4.0-22',
      encodeLease({ publicIp: address('192.0.2.2'), backendType: 'host-gw', nodeName: 'you' }),
    );
    etcd.setAway(false);
    await clock.advanceAsync(3_000);
    expect(await end).toMatchObject({ exitCode: 5, message: expect.stringContaining('10.5.4.0-22') });
    expect(etcd.entry(held.entry.key)).toBeUndefined();
  });

  test('a reservation stays one: no lease is put on it, now or later', async () => {
    stopping.abort();
    await end;
    stopping = new AbortController();
    etcd.write(held.entry.key, encodeLease({ publicIp: address('192.0.2.1'), backendType: 'host-gw', nodeName: 'me' }));
    await start();
    expect(held.expiresAtMs).toBeUndefined();
    await clock.advanceAsync(TTL_SECONDS * 5_000);
    expect(etcd.entry(held.entry.key)?.leaseId).toBeUndefined();
    expect(found()).toMatchObject({ backendType: 'vxlan' });
    expect(holder.secondsLeft).toBeUndefined();
    expect(etcd.leaseIds).toEqual([]);
  });

  test('a restart takes the lease over as it is, with its MAC address, whatever the subnet file says', async () => {
    stopping.abort();
    await end;
    const edited = { ...found(), vtep: { vni: 1, mac: mac('02:aa:aa:aa:aa:aa') } };
    etcd.write(held.entry.key, encodeLease(edited));
    terms = { ...terms, previous: { subnet: prefix('10.5.99.0/24') } };
    stopping = new AbortController();
    await start();
    expect(held.lease).toMatchObject({ subnet: '10.5.7.0/24', vtep: { mac: '02:aa:aa:aa:aa:aa' } });
  });

  test('stops at the signal, and leaves the lease where it is', async () => {
    stopping.abort();
    expect(await end).toBeUndefined();
    await clock.advanceAsync(1_000);
    expect(etcd.entry(held.entry.key)).toBeDefined();
  });
});

describe('acquireLease', () => {
  test('waits for an etcd that is away, and says no more than a few words an hour', async () => {
    const clock = new FakeClock();
    const etcd = new MemoryEtcd(clock);
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    etcd.setAway(true);
    const acquired = acquireLease({ ...plainTerms(etcd, clock), log }, NEVER);
    await clock.advanceAsync(3_600_000);
    expect(lines.length).toBeLessThan(15);
    expect(lines[0]).toContain('connection refused');
    etcd.setAway(false);
    await clock.advanceAsync(5_000);
    expect((await acquired).lease.nodeName).toBe('me');
  });

  test('gives up where etcd refuses, and where no subnet is free', async () => {
    const clock = new FakeClock();
    const etcd = new MemoryEtcd(clock);
    etcd.failNext({ operation: 'list', how: 'refused' });
    await expect(acquireLease(plainTerms(etcd, clock), NEVER)).rejects.toMatchObject({ exitCode: 3 });
    etcd.write('/net/subnets/10.0.0.0-8', '{"PublicIP":"192.0.2.2","NodeName":"greedy"}');
    await expect(acquireLease(plainTerms(etcd, clock), NEVER)).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringContaining('10.0.0.0/8 by greedy'),
    });
  });

  test('a malformed lease of another node is stepped around', async () => {
    const clock = new FakeClock();
    const etcd = new MemoryEtcd(clock);
    etcd.write('/net/subnets/10.5.7.0-24', 'nonsense');
    etcd.write('/net/subnets/nonsense', 'nonsense');
    const taken = acquireLease({ ...plainTerms(etcd, clock), previous: { subnet: prefix('10.5.7.0/24') } }, NEVER);
    expect((await taken).lease.subnet).not.toBe('10.5.7.0/24');
    expect(etcd.entry('/net/subnets/10.5.7.0-24')?.value).toBe('nonsense');
  });

  test('a former lease outside the network is given back', async () => {
    const clock = new FakeClock();
    const etcd = new MemoryEtcd(clock);
    etcd.store('/net/subnets/10.9.7.0-24', '{"PublicIP":"192.0.2.1","NodeName":"me"}', 60);
    const { lease } = await acquireLease(plainTerms(etcd, clock), NEVER);
    expect(etcd.snapshot('/net/subnets/').entries.map(({ key }) => key)).toEqual([lease.key]);
  });

  function plainTerms(etcd: MemoryEtcd, clock: FakeClock): LeaseTerms {
    return {
      registry: etcd.registry(),
      clock,
      log: pino({ level: 'silent' }),
      etcdPrefix: '/net',
      config: CONFIG,
      nodeName: 'me',
      publicIps: ['192.0.2.1'],
      ttlSeconds: TTL_SECONDS,
      attributes: () => ({ publicIp: address('192.0.2.1'), backendType: 'host-gw', nodeName: 'me' }),
    };
  }
});
