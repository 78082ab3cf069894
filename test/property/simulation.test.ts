// Whole nodes in virtual time, with faults from a seed: whatever happens, when it is over every RIB and every table is as
// the reference has it. test/simulation/ is the simulator; `npm run bench -- simulate` runs as many seeds as one likes.
//
// A seed that fails is named with the command that runs it again. Seeds that once found a bug stay below.

import { expect, test } from 'vitest';
import { runSimulate } from '../bench/simulate.ts';
import { PLANTED_BUGS } from '../simulation/planted-bugs.ts';
import { failureText, replayCommand, runSeeds } from '../simulation/seeds.ts';
import { type Outcome, runWorld } from '../simulation/world.ts';

const TIMEOUT_MS = 600_000;
const WORLDS = 100;
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
