// When the served feed says that it is in sync.
// Time is a fake clock's.

import { expect, test } from 'vitest';
import { SyncGate } from '../../../bgpd/sync-gate.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

function scene() {
  const clock = new FakeClock();
  const world = { feedInSync: false, registryListed: false, unsynced: ['b', 'c'] };
  const opened: (readonly string[])[] = [];
  const gate = new SyncGate({
    clock,
    waitMs: 5_000,
    open: (missing) => opened.push(missing),
    feedInSync: () => world.feedInSync,
    registryListed: () => world.registryListed,
    unsynced: () => world.unsynced,
  });
  const set = (change: Partial<typeof world>): void => {
    Object.assign(world, change);
    gate.check();
  };
  return { clock, gate, opened, set };
}

test('opens when everything is there, once', () => {
  const { gate, opened, set } = scene();
  expect(gate.detail).toBe("waits for flanneld's feed");
  set({ feedInSync: true });
  expect(gate.detail).toBe('waits for etcd');
  set({ registryListed: true });
  expect(gate.detail).toBe('waits for the routes of b, c');
  set({ unsynced: ['c'] });
  expect(opened).toEqual([]);
  set({ unsynced: [] });
  set({ unsynced: ['d'] });
  expect(opened).toEqual([[]]);
  expect(gate).toMatchObject({ opened: true, waitOver: true, detail: '' });
});

test('a dead peer delays it by the wait, which starts when all else is there', () => {
  const { clock, gate, opened, set } = scene();
  clock.advance(60_000);
  set({ feedInSync: true, registryListed: true });
  clock.advance(4_999);
  gate.check();
  expect(opened).toEqual([]);
  clock.advance(1);
  expect(opened).toEqual([['b', 'c']]);
  expect(clock.pending).toBe(0);
});

test('time alone never opens it: without etcd or the feed nothing is known to be all', () => {
  const { clock, opened, set } = scene();
  set({ feedInSync: true });
  clock.advance(600_000);
  set({ feedInSync: false, registryListed: true });
  clock.advance(600_000);
  expect(opened).toEqual([]);
});

test('the feed is lost while it waits: it waits on', () => {
  const { clock, opened, set } = scene();
  set({ feedInSync: true, registryListed: true });
  set({ feedInSync: false });
  clock.advance(60_000);
  expect(opened).toEqual([]);
  set({ feedInSync: true });
  expect(opened).toHaveLength(1);
});
