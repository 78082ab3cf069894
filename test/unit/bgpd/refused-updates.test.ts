// What is counted as a mistake of the peer, and what as a loop, which is none.
// The rules themselves: rib/rib.test.ts; the counters of a live bgpd: test/topology/bgpd-hostile.test.ts.

import { pino } from 'pino';
import { expect, test } from 'vitest';
import { RefusedUpdates } from '../../../bgpd/refused-updates.ts';
import type { Refusal } from '../../../bgpd/rib/route-rules.ts';

const KINDS: Readonly<Record<Refusal, 'flawed' | 'looped'>> = {
  'no-local-pref': 'flawed',
  'wrong-first-as': 'flawed',
  'as-loop': 'looped',
  'own-originator-id': 'looped',
  'own-cluster-id': 'looped',
};

test.each(Object.entries(KINDS) as [Refusal, 'flawed' | 'looped'][])('%s is counted as %s', (refusal, kind) => {
  const counted: string[] = [];
  const warned: unknown[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => warned.push(line) });
  const metrics = { flawed: () => counted.push('flawed'), looped: () => counted.push('looped') };
  const refused = new RefusedUpdates(log, metrics);
  refused.refused('b', refusal);
  refused.refused('b', refusal);
  expect(counted).toEqual([kind, kind]);
  const none = { flawed: 0, lastFlaw: undefined, looped: 0 };
  expect(refused.of('b')).toEqual({ ...none, [kind]: 2, ...(kind === 'flawed' && { lastFlaw: refusal }) });
  expect(refused.of('c')).toEqual(none);
  // A mistake is said once, not each time; a loop never.
  expect(warned).toHaveLength(kind === 'flawed' ? 1 : 0);
  refused.forget('b');
  expect(refused.of('b')).toEqual(none);
});
