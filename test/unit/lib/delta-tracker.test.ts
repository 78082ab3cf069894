// The delta tracker, one area of its picture at a time.
//
// All of them together, at random: test/property/delta-tracker.test.ts.

import { describe, expect, it } from 'vitest';
import { DeltaTracker } from '../../../lib/delta-tracker.ts';

/** Values are equal when they agree before the colon: what follows is a remark that does not matter. */
const tracker = () => new DeltaTracker<string, string>((a, b) => a.split(':')[0] === b.split(':')[0]);

const state = (of: DeltaTracker<string, string>) => ({
  updates: [...of.pendingUpdates],
  deletions: [...of.pendingDeletions],
});

describe('delta tracker', () => {
  it('wants what is absent', () => {
    const t = tracker();
    t.setDesired('a', '1');
    expect(state(t)).toEqual({ updates: ['a'], deletions: [] });
    t.setDataplane('a', '1');
    expect(state(t)).toEqual({ updates: [], deletions: [] });
    expect(t.inSync).toBe(true);
  });

  it('wants what is different, and leaves alone what differs in nothing that matters', () => {
    const t = tracker();
    t.setDesired('a', '1');
    t.setDataplane('a', '2');
    expect(state(t)).toEqual({ updates: ['a'], deletions: [] });
    t.setDataplane('a', '1:remark');
    expect(t.inSync).toBe(true);
    t.setDesired('a', '3');
    expect(state(t)).toEqual({ updates: ['a'], deletions: [] });
    t.setDesired('a', '1');
    expect(t.inSync).toBe(true);
  });

  it('deletes what is not desired', () => {
    const t = tracker();
    t.setDataplane('a', '1');
    expect(state(t)).toEqual({ updates: [], deletions: ['a'] });
    t.setDesired('a', '1');
    expect(t.inSync).toBe(true);
    t.deleteDesired('a');
    expect(state(t)).toEqual({ updates: [], deletions: ['a'] });
    t.deleteDataplane('a');
    expect(t.inSync).toBe(true);
  });

  it('forgets an update that is no longer desired', () => {
    const t = tracker();
    t.setDesired('a', '1');
    t.deleteDesired('a');
    t.deleteDesired('never');
    expect(t.inSync).toBe(true);
  });

  it('wants again what vanished', () => {
    const t = tracker();
    t.setDesired('a', '1');
    t.setDataplane('a', '1');
    t.deleteDataplane('a');
    t.deleteDataplane('never');
    expect(state(t)).toEqual({ updates: ['a'], deletions: [] });
  });

  it('takes a resync as the truth: vanished, appeared, modified, unchanged', () => {
    const t = tracker();
    for (const key of ['vanished', 'modified', 'same']) {
      t.setDesired(key, '1');
      t.setDataplane(key, '1');
    }
    t.setDataplane('stale', '1');
    t.replaceDataplane([
      ['modified', '2'],
      ['same', '1'],
      ['appeared', '1'],
    ]);
    expect(state(t)).toEqual({ updates: ['modified', 'vanished'], deletions: ['appeared'] });
    expect([...t.dataplane.keys()]).toEqual(['modified', 'same', 'appeared']);
  });
});
