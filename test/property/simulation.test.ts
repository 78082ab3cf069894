// Whole nodes in virtual time, with faults from a seed: whatever happens, when it is over every RIB and every table is as
// the reference has it. test/simulation/ is the simulator; `npm run bench -- simulate` runs as many seeds as one likes.
//
// A seed that fails is named with the command that runs it again. Seeds that once found a bug stay below.

import { expect, test } from 'vitest';
import { runSimulate } from '../bench/simulate.ts';
import { Fabric } from '../simulation/fabric.ts';
import { checkFabric, runGrowth } from '../simulation/growth.ts';
import { PLANTED_BUGS } from '../simulation/planted-bugs.ts';
import { failureText, replayCommand, runSeeds } from '../simulation/seeds.ts';
import { type Outcome, runWorld } from '../simulation/world.ts';

const TIMEOUT_MS = 600_000;
const WORLDS = 150;
/** Of a planted bug, within which it must be found. */
const SEARCHED = 60;

test('after any faults, every living node has exactly what is alive', { timeout: TIMEOUT_MS }, async () => {
  const first = 1 + Math.floor(Math.random() * 2 ** 30);
  const seeds = Array.from({ length: WORLDS }, (_, i) => first + i);
  const { failed } = await runSeeds({ seeds });
  expect(failed.map((outcome) => failureText(outcome, {})).join('\n')).toBe('');
});

test('a larger world: a dozen nodes, three of them reflectors', { timeout: TIMEOUT_MS }, async () => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 30);
  const options = { nodes: 12, reflectors: 3 };
  const { failed } = await runSeeds({ ...options, seeds: [seed] });
  expect(failed.map((outcome) => failureText(outcome, options)).join('\n')).toBe('');
});

test('a seed is the whole run', { timeout: TIMEOUT_MS }, async () => {
  const once = await runWorld({ seed: 4711 });
  expect(await runWorld({ seed: 4711 })).toEqual(once);
  expect((await runWorld({ seed: 4712 })).signature).not.toBe(once.signature);
});

test.each(PLANTED_BUGS)(
  'found, and found again by the printed command: $name',
  { timeout: TIMEOUT_MS },
  async ({ name }) => {
    const found: Outcome[] = [];
    const onOutcome = (outcome: Outcome): boolean => outcome.violations.length === 0 || found.push(outcome) === 0;
    await runSeeds({ seeds: Array.from({ length: SEARCHED }, (_, i) => i + 1), bug: name, onOutcome });
    const [failed] = found;
    if (failed === undefined) throw new Error(`${name}: not found in ${SEARCHED} seeds`);
    const command = replayCommand(failed.seed, { bug: name });
    expect(failureText(failed, { bug: name })).toContain(`replay with: ${command}`);
    const args = command.replace('npm run bench -- simulate ', '').split(' ');
    const { json } = await runSimulate(args, () => undefined, new AbortController().signal);
    expect(json).toEqual(failed);
  },
);

test('a fabric with reflectors: each knows each, and a death is told to all', { timeout: TIMEOUT_MS }, () => {
  const rows = [...runGrowth({ nodes: 40, reflectors: 4, checked: 20, seed: 1 })];
  expect(rows.map(({ event }) => event)).toEqual(['start', 'node dies', 'reflector dies']);
  // Each reflector tells each client of each other one's route.
  expect(rows[0]?.updates).toBeGreaterThan(4 * 36 * 35);
});

test('a fabric without reflectors: each knows each, and a death is told to all', { timeout: TIMEOUT_MS }, () => {
  const rows = [...runGrowth({ nodes: 15, reflectors: 0, checked: 15, seed: 2 })];
  expect(rows.map(({ event }) => event)).toEqual(['start', 'node dies']);
});

test('a fabric in which one table lacks a route is noticed', { timeout: TIMEOUT_MS }, () => {
  const fabric = new Fabric({ nodes: 8, reflectors: 2, checked: 6, seed: 3 });
  fabric.start();
  expect(() => checkFabric(fabric)).not.toThrow();
  const [, , other, last] = fabric.nodes;
  if (other === undefined || last === undefined) throw new Error('a fabric of 8 has 8 nodes');
  other.table.withdraw([last.prefix]);
  expect(() => checkFabric(fabric)).toThrow(`way to ${last.name}`);
});

test('a fabric in which one client was told too little is noticed', { timeout: TIMEOUT_MS }, () => {
  const fabric = new Fabric({ nodes: 8, reflectors: 2, checked: 1, seed: 3 });
  fabric.start();
  expect(() => checkFabric(fabric)).not.toThrow();
  const [reflector, , , client, last] = fabric.nodes;
  if (reflector === undefined || client === undefined || last === undefined)
    throw new Error('a fabric of 8 has 8 nodes');
  client.checklist.note(reflector.place.number, { family: 4, announced: [], withdrawn: [last.prefix] });
  expect(() => checkFabric(fabric)).toThrow(client.name);
});
