// The watch supervisor on a fake clock: reconnection, silence, compaction, periodic listing, no busy loop.
// The source is the etcd in memory, which can fall silent, compact its history and go back in time.

import { beforeEach, describe, expect, test } from 'vitest';
import type { RegistryEvent } from '../../../../lib/registry/registry.ts';
import { WATCH_TIMES } from '../../../../lib/registry/watch-supervisor.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { MemoryEtcd } from '../../../fakes/memory-registry.ts';

const PREFIX = '/n/';

describe('a supervised watch', () => {
  let clock: FakeClock;
  let etcd: MemoryEtcd;
  let seen: RegistryEvent[];
  let stopping: AbortController;

  beforeEach(async () => {
    clock = new FakeClock();
    etcd = new MemoryEtcd(clock);
    seen = [];
    stopping = new AbortController();
    etcd.write('/n/a', '1');
    etcd.registry().watch(PREFIX, (event) => seen.push(event), stopping.signal);
    await clock.advanceAsync(0);
  });

  function types(): string {
    return seen.map(({ type }) => type).join(' ');
  }

  test('says once per failed attempt that it is disconnected, and lists again when etcd is back', async () => {
    etcd.setAway(true);
    await clock.advanceAsync(0);
    expect(types()).toBe('snapshot disconnected');
    expect(seen[1]).toEqual({ type: 'disconnected', reason: 'connection refused' });
    etcd.setAway(false);
    etcd.write('/n/b', '2');
    await clock.advanceAsync(200);
    expect(types()).toBe('snapshot disconnected snapshot');
    expect(seen[2]).toMatchObject({ snapshot: { entries: [{ key: '/n/a' }, { key: '/n/b' }] } });
  });

  test('while etcd is away it tries at growing intervals, up to five seconds', async () => {
    etcd.setAway(true);
    await clock.advanceAsync(60_000);
    const before = etcd.calls.get('list') ?? 0;
    expect(before).toBeLessThan(40);
    await clock.advanceAsync(600_000);
    const perMinute = ((etcd.calls.get('list') ?? 0) - before) / 10;
    expect(perMinute).toBeGreaterThanOrEqual(12);
    expect(perMinute).toBeLessThanOrEqual(24);
  });

  test('a stream that falls silent is noticed and replaced within three intervals', async () => {
    etcd.setSilent(true);
    etcd.write('/n/b', '2');
    await clock.advanceAsync(WATCH_TIMES.progressMs);
    expect(types()).toBe('snapshot');
    await clock.advanceAsync(WATCH_TIMES.progressMs * 2);
    expect(types()).toMatch(/^snapshot disconnected/);
    await clock.advanceAsync(1_000);
    expect(seen[2]).toMatchObject({ type: 'snapshot', snapshot: { entries: [{ key: '/n/a' }, { key: '/n/b' }] } });
  });

  test('a quiet stream that answers is kept', async () => {
    await clock.advanceAsync(WATCH_TIMES.progressMs * 20);
    expect(types()).toBe('snapshot');
    expect(etcd.calls.get('open')).toBe(1);
  });

  test('a compaction that overtakes the stream brings a fresh snapshot, not an outage', async () => {
    etcd.setSilent(true);
    etcd.write('/n/b', '2');
    etcd.compact();
    etcd.setSilent(false);
    await clock.advanceAsync(200);
    expect(types()).toBe('snapshot snapshot');
    etcd.write('/n/c', '3');
    await clock.advanceAsync(0);
    expect(seen[2]).toMatchObject({ type: 'put', entry: { key: '/n/c' } });
  });

  test('the listing is repeated now and then although nothing failed', async () => {
    await clock.advanceAsync(WATCH_TIMES.relistMs + WATCH_TIMES.progressMs);
    expect(types()).toMatch(/^snapshot snapshot( snapshot)?$/);
    expect(etcd.streams).toBe(1);
  });

  test('an older copy of etcd, whose revision went back, is listed', async () => {
    for (let i = 0; i < 10; i++) etcd.write('/n/a', String(i));
    await clock.advanceAsync(0);
    seen.length = 0;
    etcd.restore([{ key: '/n/a', value: 'old', modRevision: 2n }], 2n);
    await clock.advanceAsync(200);
    expect(types()).toBe('disconnected snapshot');
    expect(seen[1]).toMatchObject({ snapshot: { revision: 2n, entries: [{ value: 'old' }] } });
    etcd.write('/n/a', 'new');
    await clock.advanceAsync(0);
    expect(seen[2]).toMatchObject({ type: 'put', entry: { value: 'new', modRevision: 3n } });
  });

  test('a stream that cannot be opened is an outage with its reason', async () => {
    etcd.failNext({ operation: 'open', how: 'refused' });
    etcd.setAway(true);
    etcd.setAway(false);
    await clock.advanceAsync(1_000);
    expect(etcd.faultsLeft).toBe(0);
    expect(types()).toBe('snapshot disconnected snapshot disconnected snapshot');
    expect(seen[3]).toEqual({ type: 'disconnected', reason: 'etcd: permission denied' });
  });

  test('after the signal there is no stream and no timer', async () => {
    stopping.abort();
    await clock.advanceAsync(0);
    expect(etcd.streams).toBe(0);
    expect(clock.pending).toBe(0);
  });
});
