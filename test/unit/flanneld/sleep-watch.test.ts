// Sleep is what CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC by; a busy process and a set wall clock are none.
// And what the holder of a lease does with it.

import { pino } from 'pino';
import { expect, test } from 'vitest';
import { acquireLease } from '../../../flanneld/lease/acquire-lease.ts';
import { LeaseHolder } from '../../../flanneld/lease/lease-holder.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../../flanneld/lease/network-config.ts';
import { bootMs, watchSleep } from '../../../flanneld/sleep-watch.ts';
import { address } from '../../../lib/net/address.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { MemoryEtcd } from '../../fakes/memory-registry.ts';

test('a sleep is told once, with its length, within a second', async () => {
  const clock = new FakeClock();
  const slept: number[] = [];
  let asleepMs = 500_000;
  const end = watchSleep(
    clock,
    (durationMs) => slept.push(durationMs),
    () => clock.monotonicMs() + asleepMs,
  );
  await clock.advanceAsync(10_000);
  clock.stall(60_000);
  await clock.advanceAsync(5_000);
  expect(slept).toEqual([]);
  asleepMs += 3_600_000;
  await clock.advanceAsync(1_000);
  expect(slept).toEqual([3_600_000]);
  await clock.advanceAsync(60_000);
  expect(slept).toHaveLength(1);
  end();
  expect(clock.pending).toBe(0);
});

test('the clock that goes on in a sleep goes on now', () => {
  expect(bootMs()).toBeGreaterThan(0);
});

test('a lease that ran out in a sleep is taken back at once', async () => {
  const clock = new FakeClock();
  const etcd = new MemoryEtcd(clock);
  const publicIp = address('192.0.2.1');
  const terms = {
    registry: etcd.registry(),
    ...{ clock, log: pino({ level: 'silent' }), etcdPrefix: '/net', nodeName: 'me', ttlSeconds: 3_600 },
    config: parseNetworkConfig('{"Network":"10.5.0.0/16"}') as NetworkConfig,
    publicIps: [publicIp],
    attributes: () => ({ publicIp, backendType: 'host-gw', nodeName: 'me' }),
  };
  const stopping = new AbortController();
  const held = await acquireLease(terms, stopping.signal);
  const holder = new LeaseHolder(terms, held, 600);
  const ended = holder.hold(stopping.signal);
  await clock.advanceAsync(1_000);
  etcd.expire(held.entry.leaseId ?? '');
  holder.slept(7_200_000);
  expect(holder.secondsLeft).toBeLessThan(0);
  await clock.advanceAsync(0);
  expect(etcd.entry(held.entry.key)?.value).toBe(held.entry.value);
  expect(holder.counts.retaken).toBe(1);
  expect(holder.secondsLeft).toBeGreaterThan(3_000);
  stopping.abort();
  await ended;
});
