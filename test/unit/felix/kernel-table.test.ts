// One table of kernel objects: writes before their echoes, echoes that come late or never, refusals, and the order in
// which notifications and answers may cross.

import { describe, expect, it } from 'vitest';
import { EchoLedger } from '../../../felix/dataplane/echo-ledger.ts';
import { KernelTable } from '../../../felix/dataplane/kernel-table.ts';
import { Retries } from '../../../felix/dataplane/retries.ts';
import type { Kernel, KernelChange, KernelFailure } from '../../../lib/kernel/kernel.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const REFUSED: KernelFailure = { code: 'EINVAL', errno: 22, what: 'put nexthop 1' };

/** A table of numbers to texts, over a kernel whose answers and notifications come when the test says so. */
function bench() {
  const clock = new FakeClock();
  const sent: (readonly KernelChange[])[] = [];
  let answer: (failures: readonly (KernelFailure | undefined)[]) => void = () => undefined;
  const kernel = {
    apply(changes: readonly KernelChange[]) {
      sent.push(changes);
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
  } as unknown as Kernel;
  const table = new KernelTable<number, string>({
    clock,
    same: (a, b) => a === b,
    put: (value) => ({ op: 'delete', kind: 'link', name: `put ${value}` }),
    remove: (value) => ({ op: 'delete', kind: 'link', name: `remove ${value}` }),
  });
  const all = (): boolean => true;
  return {
    clock,
    table,
    sent,
    updates: () => table.updates(10, all).map(({ key }) => key),
    deletions: () => table.deletions(10, all).map(({ key }) => key),
    put: (...keys: number[]) =>
      table.write(
        kernel,
        table.updates(10, (_, key) => keys.includes(key)),
      ),
    remove: () => table.write(kernel, table.deletions(10, all)),
    answer: (...failures: (KernelFailure | undefined)[]) => answer(failures),
  };
}

describe('kernel table', () => {
  it('an echo is no drift, before or after the answer', async () => {
    const { table, updates, put, answer } = bench();
    table.tracker.setDesired(1, 'a');
    const first = put(...updates());
    expect(table.seen(1, 'a')).toBe('ours');
    answer(undefined);
    await first;
    table.tracker.setDesired(1, 'b');
    const second = put(...updates());
    answer(undefined);
    await second;
    expect(table.seen(1, 'b')).toBe('ours');
    expect(table.tracker.inSync).toBe(true);
  });

  it('an echo that is late says nothing about what was written since', async () => {
    const { table, updates, put, answer } = bench();
    for (const value of ['a', 'b', 'a']) {
      table.tracker.setDesired(1, value);
      const write = put(...updates());
      answer(undefined);
      await write;
    }
    for (const value of ['a', 'b']) {
      expect(table.seen(1, value)).toBe('ours');
      expect(table.tracker.inSync).toBe(true);
    }
    expect(table.seen(1, 'a')).toBe('ours');
    expect(table.seen(1, 'b')).toBe('modified');
    expect(updates()).toEqual([1]);
  });

  it('what others do between our write and its answer is not lost', async () => {
    const { table, updates, put, answer } = bench();
    table.tracker.setDesired(1, 'a');
    const write = put(...updates());
    table.seen(1, 'a');
    expect(table.seen(1, undefined)).toBe('deleted');
    answer(undefined);
    await write;
    expect(updates()).toEqual([1]);
  });

  it('a refused write leaves what was known, and owes no echo', async () => {
    const { table, clock, updates, put, answer } = bench();
    table.tracker.setDataplane(1, 'old');
    table.tracker.setDesired(1, 'new');
    const write = put(...updates());
    answer(REFUSED);
    expect(await write).toEqual({ written: [], refused: [{ key: 1, failure: REFUSED }] });
    expect(table.tracker.dataplane.get(1)).toBe('old');
    expect(updates()).toEqual([]);
    expect(table.seen(1, 'other')).toBe('modified');
    clock.advance(1_000);
    expect(updates()).toEqual([1]);
  });

  it('a refused deletion is still to do', async () => {
    const { table, clock, deletions, remove, answer } = bench();
    table.tracker.setDataplane(1, 'old');
    const write = remove();
    expect(table.tracker.dataplane.has(1)).toBe(false);
    answer(REFUSED);
    await write;
    expect(deletions()).toEqual([]);
    clock.advance(1_000);
    expect(deletions()).toEqual([1]);
  });

  it('an echo that never comes makes a listing due; the listing settles it', async () => {
    const { table, clock, updates, put, answer } = bench();
    table.tracker.setDesired(1, 'a');
    const write = put(...updates());
    answer(undefined);
    await write;
    expect(table.echoOverdueAtMs).toBe(clock.monotonicMs() + 2_000);
    expect(table.replace(new Map([[1, 'a']]), false)).toEqual([]);
    expect(table.echoOverdueAtMs).toBeUndefined();
  });

  it('a listing tells deleted, added and modified apart, and the first one none of them', () => {
    const { table } = bench();
    for (const [key, value] of [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ] as const)
      table.tracker.setDesired(key, value);
    expect(
      table.replace(
        new Map([
          [1, 'a'],
          [2, 'b'],
          [3, 'c'],
          [9, 'x'],
        ]),
        true,
      ),
    ).toEqual([]);
    const found = new Map([
      [1, 'a'],
      [2, 'other'],
      [7, 'new'],
      [9, 'x'],
    ]);
    expect(table.replace(found, false).sort()).toEqual(['added', 'deleted', 'modified']);
  });

  it('forgets the refusal of what is no longer wanted', async () => {
    const { table, updates, put, answer } = bench();
    table.tracker.setDesired(1, 'a');
    const write = put(...updates());
    answer(REFUSED);
    await write;
    expect(table.currentRefusals().size).toBe(1);
    table.tracker.deleteDesired(1);
    expect(table.currentRefusals().size).toBe(0);
  });
});

describe('echo ledger', () => {
  it('counts what is owed for each key', () => {
    const ledger = new EchoLedger<string>();
    expect(ledger.arrived('a')).toEqual({ ours: false, last: true });
    ledger.expect('a', 10);
    ledger.expect('a', 20);
    ledger.expect('b', 15);
    expect(ledger.arrived('a')).toEqual({ ours: true, last: false });
    expect(ledger.arrived('a')).toEqual({ ours: true, last: true });
    expect(ledger.arrived('a')).toEqual({ ours: false, last: true });
    expect(ledger.overdueAtMs).toBe(2_015);
    ledger.cancel('b');
    expect(ledger.overdueAtMs).toBeUndefined();
  });
});

describe('retries', () => {
  const same = (a: string, b: string): boolean => a === b;

  it('waits longer each time, at most ten seconds, then gives up until a resync', () => {
    const retries = new Retries<number, string>(same);
    let nowMs = 0;
    const delays: number[] = [];
    for (let attempt = 1; attempt < 8; attempt++) {
      retries.refused(1, 'a', REFUSED, nowMs);
      expect(retries.mayWrite(1, 'a', nowMs)).toBe(false);
      const nextMs = retries.nextAtMs(nowMs) ?? 0;
      delays.push(nextMs - nowMs);
      nowMs = nextMs;
      expect(retries.mayWrite(1, 'a', nowMs)).toBe(true);
    }
    expect(delays.every((delay, at) => delay <= Math.min(10_000, 100 * 2 ** at))).toBe(true);
    retries.refused(1, 'a', REFUSED, nowMs);
    expect(retries.nextAtMs(nowMs)).toBeUndefined();
    expect(retries.mayWrite(1, 'a', nowMs + 1e9)).toBe(false);
    expect(retries.mayWrite(1, 'b', nowMs)).toBe(true);
    retries.renew(nowMs);
    expect(retries.mayWrite(1, 'a', nowMs)).toBe(true);
  });

  it('repairs at once, ten times; then slower, until there is peace', () => {
    const retries = new Retries<number, string>(same);
    for (let i = 0; i < 10; i++) retries.overwritten(1, i);
    expect(retries.mayWrite(1, 'a', 10)).toBe(true);
    retries.overwritten(1, 10);
    expect(retries.mayWrite(1, 'a', 10)).toBe(false);
    expect(retries.mayWrite(1, 'a', 10 + 250)).toBe(true);
    retries.overwritten(1, 100_000);
    expect(retries.mayWrite(1, 'a', 100_000)).toBe(true);
  });
});
