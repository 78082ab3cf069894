// BFD of bgpd against that of BIRD 2 (package bird2): an implementation that others wrote, both ways, 50 ms x 3.
// BIRD has no BGP here: a node record written by hand says that BFD is at its address.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { LivenessRig, type RigNode } from './liveness-rig.ts';

const WAIT = { timeoutMs: 12_000, intervalMs: 20 };
const LAB = ['--bfd-interval-milliseconds=50', '--bfd-multiplier=3'];
const ON_LINK = `
router id 192.0.2.2;
protocol device { scan time 1; }
protocol bfd {
  interface "*" { interval 50 ms; multiplier 3; };
  neighbor 192.0.2.1 dev "ul" local 192.0.2.2;
}
`;
const OVER_ROUTER = `
router id 192.0.2.3;
protocol device { scan time 1; }
protocol bfd {
  multihop { interval 50 ms; multiplier 3; };
  neighbor 192.0.2.2 local 192.0.2.3 multihop on;
}
`;

let rig: LivenessRig;
let ours: RigNode;
let theirs: RigNode;

afterEach(() => rig.remove());

async function startBoth(config: string, flags = LAB): Promise<void> {
  const { name, address } = theirs;
  const record = { name, address, port: 1790, asn: 64_512, routerId: address, bfd: true };
  await rig.put(`/gingham/nodes/${name}`, JSON.stringify(record));
  await ours.begin([theirs], flags);
  await theirs.makeRunFolder();
  await writeFile(join(theirs.runFolder, 'bird.conf'), config);
  theirs.spawn(['bird', '-f', '-c', join(theirs.runFolder, 'bird.conf'), '-s', socket()]);
  await bothUp().catch((error: unknown) => {
    throw new Error(`BIRD said: ${theirs.output}`, { cause: error });
  });
}

function socket(): string {
  return join(theirs.runFolder, 'bird.ctl');
}

/** The session as BIRD shows it, with us: `192.0.2.1 ul Up 12:00:00.000 0.050 0.150`. */
async function shown(): Promise<readonly string[]> {
  const text = await theirs.run(`birdc -s ${socket()} show bfd sessions`);
  return (
    text
      .split('\n')
      .find((line) => line.startsWith(ours.address))
      ?.trim()
      .split(/\s+/) ?? []
  );
}

async function ourView() {
  return (await ours.peers()).find(({ node }) => node === theirs.name)?.bfd;
}

async function bothUp(): Promise<void> {
  await eventually('BIRD says Up', async () => (await shown())[2] === 'Up', WAIT);
  await eventually('bgpd says Up', async () => (await ourView())?.state === 'Up', WAIT);
}

describe('on a link', () => {
  beforeEach(async () => {
    rig = await LivenessRig.make(2);
    [ours, theirs] = [rig.node(1), rig.node(2)];
    // BIRD takes a neighbour only where an address of the device says that it is at its other end.
    await theirs.ip('address add 192.0.2.2 peer 192.0.2.1/32 dev ul');
    await startBoth(ON_LINK);
  });

  test('both Up, with the same intervals on both ends', async () => {
    const [, , , , interval, timeout] = await eventually('negotiated', async () => {
      const words = await shown();
      return words.at(-1) === '0.150' && words;
    });
    expect([interval, timeout]).toEqual(['0.050', '0.150']);
    expect(await ourView()).toMatchObject({
      detectionTimeMilliseconds: 150,
      transmitIntervalMilliseconds: 50,
      downs: 0,
    });
  });

  test('the path is cut: both see it; mended: both are Up again', async () => {
    await theirs.cut();
    await eventually('bgpd has seen it', async () => (await ourView())?.state === 'Down');
    await eventually('BIRD has seen it', async () => (await shown())[2] === 'Down');
    expect(await ourView()).toMatchObject({ downs: 1, whyDown: 'detection time expired' });
    await theirs.mend();
    await bothUp();
  });

  test('bgpd dies: BIRD sees it; bgpd is back: both are Up again', async () => {
    await ours.endBgpd('SIGKILL');
    await eventually('BIRD has seen it', async () => (await shown())[2] === 'Down');
    ours.startBgpd();
    await bothUp();
  });

  test('bgpd stops in an orderly way: BIRD is told', async () => {
    await ours.endBgpd('SIGTERM');
    await eventually('BIRD has seen it', async () => (await shown())[2] !== 'Up');
  });
});

test('over a router, as multihop sessions: both Up; cut: both see it; mended: both Up', async () => {
  rig = await LivenessRig.make(3);
  [ours, theirs] = [rig.node(2), rig.node(3)];
  await rig.joinOverFirst(ours, theirs);
  // BIRD sends multihop packets with the system's TTL, 64.
  await startBoth(OVER_ROUTER, [...LAB, '--bfd-multihop-minimum-ttl=63']);
  expect(await ourView()).toMatchObject({ hops: 'multi', downs: 0 });
  await theirs.cut();
  await eventually('bgpd has seen it', async () => (await ourView())?.state === 'Down');
  await eventually('BIRD has seen it', async () => (await shown())[2] === 'Down');
  await theirs.mend();
  await bothUp();
});
