// What the end of a session is called as a cause, by the NOTIFICATION that ended it, whoever sent it.
// Not what a person is told of it: session/down-reason.ts.

import { expect, test } from 'vitest';
import { faultOf } from '../../../bgpd/causes.ts';
import { type NOTIFICATION, notification } from '../../../bgpd/session/notification.ts';

const KINDS: readonly (readonly [keyof typeof NOTIFICATION, string])[] = [
  ['holdTimerExpired', 'hold-expired'],
  ['hardReset', 'link-down'],
  ['administrativeReset', 'ceased'],
  ['bfdDown', 'ceased'],
  ['malformedAttributeList', 'peer-down'],
];

test.each(KINDS)('%s is %s', (name, kind) => {
  expect(faultOf(notification(name))).toBe(kind);
});

test('a connection that broke without a word is the end of the stream', () => {
  expect(faultOf(undefined)).toBe('stream-ended');
});
