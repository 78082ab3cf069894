// The watchdog of the reconciler's steps, in virtual time: alone, and with a kernel that never answers.
// A minute of waiting costs nothing here.

import { describe, expect, it } from 'vitest';
import { Watchdog } from '../../../felix/dataplane/watchdog.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { meshFeed, nodeKernel, startBench } from './felix-bench.ts';

describe('the watchdog', () => {
  it('tells once of a step that does not end, and by its name', async () => {
    const clock = new FakeClock();
    const late: string[] = [];
    const dog = new Watchdog(clock, ({ message }) => late.push(message));
    let end = (): void => undefined;
    const step = dog.watch(
      'write',
      () =>
        new Promise<void>((resolve) => {
          end = resolve;
        }),
    );
    await clock.advanceAsync(59_000);
    expect(late).toEqual([]);
    expect(dog.at?.step).toBe('write');
    await clock.advanceAsync(600_000);
    expect(late).toEqual(['the step "write" has not ended within 60 s']);
    end();
    await step;
    expect(dog.at).toBeUndefined();
  });

  it('gives what the step gives, throws what it throws, and says nothing of one that ended', async () => {
    const clock = new FakeClock();
    const late: Error[] = [];
    const dog = new Watchdog(clock, (error) => late.push(error));
    expect(await dog.watch('list', () => Promise.resolve(7))).toBe(7);
    await expect(dog.watch('settle', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await clock.advanceAsync(600_000);
    expect(late).toEqual([]);
  });

  it('ends a felix whose kernel does not answer a write', async () => {
    const kernel = nodeKernel();
    const bench = startBench(kernel, meshFeed(1));
    kernel.apply = () => new Promise(() => undefined);
    await bench.settle(61_000);
    expect(bench.failures.map(String)).toEqual(['Error: the step "write" has not ended within 60 s']);
    expect(bench.reconciler.state().step?.step).toBe('write');
  });
});
