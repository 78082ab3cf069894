// The delta tracker against a naive model that compares everything with everything after each step.
//
// The model is slow and obviously right; the tracker must know the same after every step, not only at the end.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DeltaTracker } from '../../lib/delta-tracker.ts';

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const value = fc.integer({ min: 0, max: 2 });
const step = fc.oneof(
  fc.record({ op: fc.constantFrom('setDesired', 'setDataplane'), key, value }),
  fc.record({ op: fc.constantFrom('deleteDesired', 'deleteDataplane'), key }),
  fc.record({
    op: fc.constant('replaceDataplane'),
    entries: fc.uniqueArray(fc.tuple(key, value), { selector: (e) => e[0] }),
  }),
);

it('always knows exactly what a full comparison would find', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tracker = new DeltaTracker<string, number>((a, b) => a === b);
      const desired = new Map<string, number>();
      let dataplane = new Map<string, number>();
      for (const each of steps) {
        if ('entries' in each) {
          tracker.replaceDataplane(each.entries);
          dataplane = new Map(each.entries);
        } else if ('value' in each) {
          tracker[each.op as 'setDesired' | 'setDataplane'](each.key, each.value);
          (each.op === 'setDesired' ? desired : dataplane).set(each.key, each.value);
        } else {
          tracker[each.op as 'deleteDesired' | 'deleteDataplane'](each.key);
          (each.op === 'deleteDesired' ? desired : dataplane).delete(each.key);
        }
        const updates = [...desired].filter(([k, v]) => dataplane.get(k) !== v).map(([k]) => k);
        const deletions = [...dataplane.keys()].filter((k) => !desired.has(k));
        expect(new Set(tracker.pendingUpdates)).toEqual(new Set(updates));
        expect(new Set(tracker.pendingDeletions)).toEqual(new Set(deletions));
        expect(tracker.inSync).toBe(updates.length + deletions.length === 0);
        expect(new Map(tracker.dataplane)).toEqual(dataplane);
      }
    }),
    { numRuns: 500 },
  );
});
