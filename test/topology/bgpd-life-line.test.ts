// A bgpd that is killed is known to be dead by the connection between the BFD threads, before its other connections end:
// here, where those never seem to.

import { readdirSync, readlinkSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import type { Cause } from '../../lib/feed/feed.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { LivenessRig, type RigNode } from './liveness-rig.ts';

const ROUTE = prefix('10.5.2.0/24');
/** Silence would take half a minute. */
const SLOW = ['--bfd-multiplier=100', '--hold-time-seconds=600'];
const WAIT = { timeoutMs: 30_000 };
const ENDED = 'the process of a peer ended';

let rig: LivenessRig | undefined;

afterEach(() => rig?.remove());

async function pair(flags: readonly string[]): Promise<readonly [RigNode, RigNode]> {
  rig = await LivenessRig.make(2);
  const [a, b] = [rig.node(1), rig.node(2)];
  await Promise.all([a.begin([b], flags), b.begin([a], flags, [ROUTE])]);
  await Promise.all([a.isUp(b, true), b.isUp(a, true)]);
  await eventually('the route is there', () => a.view.groupOf(ROUTE) !== undefined, WAIT);
  await eventually(
    'the BFD threads are connected',
    async () => (await b.run('ss -Htn state established')).includes('192.0.2.2:3784 '),
    WAIT,
  );
  return [a, b];
}

test('killed while nothing of its BGP connection comes through: known by the other one', async () => {
  const [a, b] = await pair(SLOW);
  let cause: Cause | undefined;
  a.onChange = (why) => {
    cause ??= why;
  };
  await b.run(
    'nft table inet cut { chain o { type filter hook output priority -300; tcp sport 1790 drop; tcp dport 1790 drop; }; }',
  );
  await b.endBgpd('SIGKILL');
  await eventually('the route is gone', () => a.view.groupOf(ROUTE) === undefined, WAIT);
  expect(cause?.kind).toBe('stream-ended');
  const why = 'the process of the peer ended';
  await eventually('it says so', async () => (await a.peers())[0]?.whyDown === why, WAIT);
});

test('stopped in order, and started again: nothing of the kind is said', async () => {
  const [a, b] = await pair([]);
  await b.endBgpd('SIGTERM');
  await eventually('the session has ended', async () => (await a.peers())[0]?.state !== 'Established', WAIT);
  b.startBgpd();
  await a.isUp(b, true);
  expect(a.output).not.toContain(ENDED);
});

test("the thread's sockets are its own, and none of the others' is kept open by it", async () => {
  const [a] = await pair([]);
  const tables = readdirSync(`/proc/${a.pid}/task`).map((task) => socketsOf(`/proc/${a.pid}/task/${task}/fd`));
  const main = socketsOf(`/proc/${a.pid}/fd`);
  const others = tables.filter((table) => [...table].some((each) => !main.has(each)));
  expect(others).toHaveLength(1);
  expect([...(others[0] ?? [])].filter((each) => main.has(each))).toEqual([]);
});

function socketsOf(folder: string): Set<string> {
  // The standard streams are everybody's.
  const names = readdirSync(folder).filter((name) => Number(name) > 2);
  const targets = names.map((name) => {
    try {
      return readlinkSync(`${folder}/${name}`);
    } catch {
      return '';
    }
  });
  return new Set(targets.filter((target) => target.startsWith('socket:')));
}
