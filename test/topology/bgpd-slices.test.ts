// A policy that is slow to judge changes under 100,000 announced routes: bgpd walks them between other work, answers while it
// does, and the session stays.
//
// That the walk is cut shows in what /status says meanwhile: numbers between the first and the last.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { BgpdCluster, type BgpdNode, manyPrefixes } from './bgpd-cluster.ts';

const PATIENCE = { timeoutMs: 60_000, intervalMs: 20 };
const PREFIXES = manyPrefixes(100_000);
/** 65,536 of them; the others are in 21.0.0.0/8. */
const KEPT = PREFIXES.filter((each) => each.startsWith('20.'));
/** Ranges of every length up to 24 that hold none of them: what a set costs is the number of lengths to look up. */
const RANGES = Array.from({ length: 24 }, (_, i) => `"${['0.0.0.0', '192.0.0.0'][i === 0 ? 0 : 1]}/${i + 1} 32-32"`);
const SLOW = `sets: {prefixes: {slow: [${RANGES.join(', ')}], twenty: ["20.0.0.0/8 24-24"]}}
groups: {mesh: {export: slow}}
policies:
  slow:
    statements:
      - {if: {prefixes: slow}, action: reject}
      - {if: {prefixes: twenty}, action: accept}
    otherwise: reject
`;

let cluster: BgpdCluster;
let folder: string;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
  folder = await mkdtemp(join(tmpdir(), 'gh-slices-'));
});

afterEach(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

test('a slow policy over 100,000 routes: others are served meanwhile, no session ends, and the peer ends with what it lets pass', async () => {
  const file = join(folder, 'policy.yaml');
  await writeFile(file, '');
  const flags = ['--hold-time-seconds=30', '--graceful-restart-seconds=0'];
  const [a, b] = await Promise.all([cluster.node(2, [3], [...flags, `--config=${file}`]), cluster.node(3, [2], flags)]);
  a.originate(PREFIXES);
  await eventually('b has all routes', () => b.view.routeCount === PREFIXES.length, PATIENCE);

  await writeFile(file, SLOW);
  if (a.pid !== undefined) process.kill(a.pid, 'SIGHUP');
  const seen = new Set<number>();
  const isWalked = async (): Promise<boolean> => {
    const advertised = await advertisedTo(a);
    seen.add(advertised);
    return advertised === KEPT.length;
  };
  await eventually('a has walked over them', isWalked, { ...PATIENCE, intervalMs: 1 });
  await eventually('b has what passes', () => b.view.routeCount === KEPT.length, PATIENCE);
  expect([...seen].filter((count) => count > KEPT.length && count < PREFIXES.length)).not.toHaveLength(0);
  for (const node of [a, b]) expect((await node.status()).peers).toMatchObject([{ state: 'Established', sessions: 1 }]);
});

async function advertisedTo(node: BgpdNode): Promise<number> {
  return (await node.status()).peers[0]?.routesAdvertised ?? 0;
}
