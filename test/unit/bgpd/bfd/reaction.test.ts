// What a change of BFD means to the BGP session, case by case (RFC 5882 sections 3.2 and 4.3).
// That the session then really ends is shown in test/topology/bgpd-bfd.test.ts.

import { expect, test } from 'vitest';
import { reactionTo, reactionToCarrier } from '../../../../bgpd/bfd/reaction.ts';

const RUNNING = { established: true, keepsStale: false };
const DOWN = { established: false, keepsStale: false };
const RESTARTING = { established: false, keepsStale: true };

const DOWNED = { from: 'Up', to: 'Down', remoteState: 'Down', independent: true } as const;

test.each([
  ['ends the session that it had', false, RUNNING, 'end'],
  ['that was restarted: the session that stands is of its new life', true, RUNNING, 'none'],
  ['that was restarted by itself says nothing of forwarding', true, RESTARTING, 'none'],
] as const)('Down from a BFD %s', (_, remoteIsNew, standing, reaction) => {
  expect(reactionTo({ ...DOWNED, remoteIsNew }, standing)).toBe(reaction);
});

test.each([
  ['silence ends the session', 'Up', 'Down', 'Down', false, RUNNING, 'end'],
  ['the peer switched BFD off: nothing', 'Up', 'Down', 'AdminDown', false, RUNNING, 'none'],
  ['BFD that never was up says nothing', 'Init', 'Down', 'Down', false, RUNNING, 'none'],
  ['it came up while the session stands: nothing', 'Init', 'Up', 'Init', false, RUNNING, 'none'],
  ['it came up and there is no session: dial', 'Down', 'Up', 'Init', false, DOWN, 'dial'],
  ['no session to end', 'Up', 'Down', 'Down', false, DOWN, 'none'],
  ['a restart takes BFD with it: the restart timer decides', 'Up', 'Down', 'Down', false, RESTARTING, 'none'],
  ['a BFD that would outlive a restart', 'Up', 'Down', 'Down', true, RESTARTING, 'drop-stale'],
] as const)('%s', (_, from, to, remoteState, independent, standing, reaction) => {
  expect(reactionTo({ from, to, remoteState, independent, remoteIsNew: false }, standing)).toBe(reaction);
});

test.each([
  ['the link is gone: the session ends', false, RUNNING, 'end'],
  ['the link is gone under a peer that restarts: its stale routes go', false, RESTARTING, 'drop-stale'],
  ['the link is gone and there was nothing', false, DOWN, 'none'],
  ['the link is back: dial', true, DOWN, 'dial'],
  ['the link is back under a session that did not notice: nothing', true, RUNNING, 'none'],
] as const)('%s', (_, up, standing, reaction) => {
  expect(reactionToCarrier(up, standing)).toBe(reaction);
});
