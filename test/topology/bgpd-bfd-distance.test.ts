// BFD and the distance of its packets: one hop means TTL 255 and nothing less, over a router the sessions are multihop ones
// (RFC 5883) with a least TTL of their own. Real bgpd processes, the first namespace is the router.

import { afterEach, describe, expect, test } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { LivenessRig, type RigNode } from './liveness-rig.ts';

const ROUTE = prefix('10.5.3.0/24');
const LAB = ['--bfd-interval-milliseconds=50', '--bfd-multiplier=3'];
const REFUSED = 'gingham_bgpd_bfd_packets{what="refused"}';
const RECEIVED = 'gingham_bgpd_bfd_packets{what="received"}';

let rig: LivenessRig | undefined;

afterEach(() => rig?.remove());

/** Two nodes with a router between them. */
async function apart(flags: readonly string[]): Promise<readonly [RigNode, RigNode]> {
  rig = await LivenessRig.make(3);
  const [a, b] = [rig.node(2), rig.node(3)];
  await rig.joinOverFirst(a, b);
  await Promise.all([a.begin([b], flags), b.begin([a], flags, [ROUTE])]);
  return [a, b];
}

describe('over a router', () => {
  test('both are Up, multihop; a silent drop is found, and all comes back', async () => {
    const [a, b] = await apart(LAB);
    expect((await a.isUp(b, true)).bfd).toMatchObject({ hops: 'multi', remoteState: 'Up', downs: 0 });
    expect((await b.isUp(a, true)).bfd).toMatchObject({ hops: 'multi', remoteState: 'Up', downs: 0 });
    await eventually('negotiated', async () => (await a.isUp(b, true)).bfd.detectionTimeMilliseconds === 150);
    await eventually('the route is there', () => a.view.groupOf(ROUTE) !== undefined);
    await b.cut();
    await eventually('the route is gone', () => a.view.groupOf(ROUTE) === undefined);
    const [peer] = await a.peers();
    expect(peer?.whyDown).toBe('Cease, bfd down: detection time expired');
    await b.mend();
    await eventually('the route is back', () => a.view.groupOf(ROUTE) !== undefined, { timeoutMs: 30_000 });
    await a.isUp(b, true);
  });

  test('one router more than is allowed: refused, counted, and never Up', async () => {
    const [a, b] = await apart([...LAB, '--bfd-multihop-minimum-ttl=255']);
    await a.isUp(b, false);
    await eventually('refused', async () => (await a.metric(REFUSED)) >= 2, { timeoutMs: 15_000 });
    expect(await a.metric(RECEIVED)).toBe(0);
    expect((await a.peers())[0]?.bfd).toMatchObject({ state: 'Down', hops: 'multi' });
  });
});

test('on a link: TTL 254 is refused and counted, 255 is read; over a router the least TTL is the setting', async () => {
  rig = await LivenessRig.make(2);
  const [a, b] = [rig.node(1), rig.node(2)];
  await a.begin([b], ['--bfd-multihop-minimum-ttl=200']);
  await eventually('the thread runs', () => a.output.includes('BFD runs'), { timeoutMs: 30_000 });
  const send = async (port: number, ttl: number, refused: number, received: number): Promise<void> => {
    await b.sendDatagram(a.address, port, ttl);
    await eventually(
      `port ${port}, TTL ${ttl}`,
      async () => (await a.metric(REFUSED)) === refused && (await a.metric(RECEIVED)) === received,
    );
  };
  await send(3784, 255, 0, 1);
  await send(3784, 254, 1, 1);
  await send(4784, 200, 1, 2);
  await send(4784, 199, 2, 2);
});
