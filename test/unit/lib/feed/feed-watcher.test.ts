// The queue of one watcher: order, room, and what happens when the watcher does not read.
//
// No transport: `send` is the test's.

import { describe, expect, it } from 'vitest';
import type { FeedEvent } from '../../../../lib/feed/feed.ts';
import { FeedWatcher } from '../../../../lib/feed/feed-watcher.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { eventually } from '../../../eventually.ts';

const removed = (id: number): FeedEvent => ({ type: 'group-removed', id });
const many = (count: number): FeedEvent => ({
  type: 'withdrawn',
  prefixes: Array.from({ length: count }, (_, i) => prefix(`10.${i >> 8}.${i & 255}.0/24`)),
});

function watcherOf(snapshot: readonly FeedEvent[], queueLimit: number) {
  const sent: FeedEvent[] = [];
  const state = { room: true, overflows: 0 };
  const watcher = new FeedWatcher(snapshot, {
    queueLimit,
    send(event) {
      sent.push(event);
      return state.room;
    },
    overflowed: () => state.overflows++,
  });
  return { watcher, sent, state };
}

describe('feed watcher', () => {
  it('sends the snapshot first, then what came meanwhile, in order', async () => {
    const { watcher, sent } = watcherOf([removed(1), removed(2)], 10);
    watcher.push(removed(3));
    watcher.push(removed(4));
    await eventually('all are sent', () => sent.length === 4);
    expect(sent).toEqual([1, 2, 3, 4].map(removed));
    expect(watcher.queued).toBe(0);
  });

  it('waits while there is no room, and counts only what came after the snapshot', async () => {
    const { watcher, sent, state } = watcherOf([many(100), removed(1)], 10);
    state.room = false;
    watcher.push(removed(2));
    await eventually('the first is sent', () => sent.length === 1);
    expect(watcher.queued).toBe(1);
    state.room = true;
    watcher.drained();
    await eventually('all are sent', () => sent.length === 3);
    expect(watcher.queued).toBe(0);
    expect(state.overflows).toBe(0);
  });

  it('overflows once and sends nothing after that', async () => {
    const { watcher, sent, state } = watcherOf([], 10);
    watcher.push(many(5));
    watcher.push(many(5));
    watcher.push(removed(1));
    watcher.drained();
    await new Promise(setImmediate);
    expect(state.overflows).toBe(1);
    expect(sent).toEqual([]);
  });

  it('gives the event loop a turn between long messages', async () => {
    const { sent } = watcherOf([many(20_000)], 10);
    await new Promise(setImmediate);
    const afterOneTurn = sent.length;
    await eventually('all are sent', () => sent.length === 5);
    expect(afterOneTurn).toBeLessThan(3);
  });
});
