// Waiting for etcd: what is tried again, what is not, and how little is said about it.
// Time is a fake clock: an hour of waiting is looked at as a whole.

import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { isMilestone, NotYet, persist } from '../../../flanneld/persist.ts';
import { RegistryError } from '../../../lib/registry/registry.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

function setUp(attempt: (count: number) => unknown) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const stopping = new AbortController();
  let count = 0;
  const result = persist('do it', async () => attempt(++count), { clock, log, signal: stopping.signal });
  const settled = result.catch((error: unknown) => error);
  return { clock, lines, stopping, settled, attempts: () => count };
}

describe('persist', () => {
  test('goes on while etcd is away, at most every five seconds, and says ever less', async () => {
    const { clock, lines, settled, attempts } = setUp((count) => {
      if (count < 1_000) throw new RegistryError('unavailable', 'connection refused');
      return 'done';
    });
    await clock.advanceAsync(3_600_000);
    expect(attempts()).toBeGreaterThan(700);
    expect(lines.length).toBeLessThanOrEqual(11);
    expect(lines[0]).toContain('waiting to do it');
    await clock.advanceAsync(3_600_000);
    expect(await settled).toBe('done');
  });

  test('waits for what is not there yet', async () => {
    const { clock, settled } = setUp((count) => {
      if (count === 1) throw new NotYet('nothing yet');
      return count;
    });
    await clock.advanceAsync(1_000);
    expect(await settled).toBe(2);
  });

  test('ends where etcd refuses, and where it is a bug', async () => {
    const refused = setUp(() => {
      throw new RegistryError('refused', 'permission denied');
    });
    expect(await refused.settled).toMatchObject({ exitCode: 3, cause: { message: 'permission denied' } });
    const bug = setUp(() => {
      throw new TypeError('oops');
    });
    expect(await bug.settled).toBeInstanceOf(TypeError);
  });

  test('ends at the signal', async () => {
    const { clock, stopping, settled, attempts } = setUp(() => {
      throw new NotYet('never');
    });
    await clock.advanceAsync(10_000);
    stopping.abort();
    await clock.advanceAsync(0);
    expect(await settled).toMatchObject({ name: 'AbortError' });
    const before = attempts();
    await clock.advanceAsync(60_000);
    expect(attempts()).toBe(before);
  });

  test('milestones are the powers of two', () => {
    expect([1, 2, 3, 4, 5, 8, 1023, 1024].filter(isMilestone)).toEqual([1, 2, 4, 8, 1024]);
  });
});
