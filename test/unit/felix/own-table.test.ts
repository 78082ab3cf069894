// Routes in a table of their own with the rules that lead there, and the MTU that the operator wants: order of writes,
// what others do to them, and failures of the kernel in between.

import { describe, expect, it } from 'vitest';
import { type KernelChange, PROTOCOL_GINGHAM, type Rule, TABLE_MAIN } from '../../../lib/kernel/kernel.ts';
import type { FakeOperation } from '../../fakes/fake-kernel.ts';
import { type Bench, foreignRoute, meshFeed, nodeKernel, startBench, subnet } from './felix-bench.ts';

const OWN = { routeTable: 1000, routeMtuBytes: 1400 };
const RULE: Rule = { family: 4, priority: 7100, table: 1000, protocol: PROTOCOL_GINGHAM };
const STRANGE: Rule = { ...RULE, priority: 5, table: 77 };

async function converged(): Promise<Bench> {
  const bench = startBench(nodeKernel(), meshFeed(2), OWN);
  await bench.settle(60_000);
  return bench;
}

describe('a table of its own', () => {
  it('has every route before the rule leads there, and the MTU where a route leads somewhere', async () => {
    const { kernel } = await converged();
    expect(kernel.routes(PROTOCOL_GINGHAM).map(({ table, prefix, mtuBytes }) => [table, prefix, mtuBytes])).toEqual([
      [1000, '10.5.1.0/24', undefined],
      [1000, '10.5.2.0/24', 1400],
      [1000, '10.5.3.0/24', 1400],
    ]);
    expect(kernel.rules()).toEqual([RULE]);
    expect(kernel.writes.map(({ kind }) => kind).slice(-2)).toEqual(['route', 'rule']);
  });

  it.each<[string, readonly KernelChange[]]>([
    ['a rule deleted', [{ op: 'delete', kind: 'rule', rule: RULE }]],
    ['a rule of our protocol added', [{ op: 'put', kind: 'rule', rule: STRANGE }]],
    ['the MTU of a route changed', [foreignRoute('10.5.2.0/24', '192.0.2.66', { table: 1000, protocol: 71 })]],
  ])('%s: repaired at once, and where the notification was lost', async (_, changes) => {
    const { kernel, ...bench } = await converged();
    const before = [kernel.rules(), kernel.routes()];
    kernel.foreign(...changes);
    expect([kernel.rules(), kernel.routes()]).not.toEqual(before);
    await bench.settle(1_000);
    expect([kernel.rules(), kernel.routes()]).toEqual(before);
    kernel.loseNotifications(() => kernel.foreign(...changes));
    await bench.settle(1_000);
    expect([kernel.rules(), kernel.routes()]).toEqual(before);
  });

  it('a foreign route blocks its key in that table, and no route of the main one does', async () => {
    const kernel = nodeKernel();
    kernel.foreign(
      foreignRoute('10.5.2.0/24', '192.0.2.66'),
      foreignRoute('10.5.3.0/24', '192.0.2.66', { table: 1000 }),
    );
    const bench = startBench(kernel, meshFeed(2), OWN);
    await bench.settle(1_000);
    expect(kernel.routes(PROTOCOL_GINGHAM).map(({ prefix }) => prefix)).toEqual(['10.5.1.0/24', '10.5.2.0/24']);
    expect(kernel.routes(4)).toHaveLength(2);
  });

  it('a rule of somebody else that does the same is left alone, and ours comes when it is gone', async () => {
    const kernel = nodeKernel();
    const theirs = { ...RULE, protocol: 4 };
    kernel.foreign({ op: 'put', kind: 'rule', rule: theirs });
    const bench = startBench(kernel, meshFeed(2), OWN);
    await bench.settle(1_000);
    expect(kernel.rules()).toEqual([theirs]);
    expect(bench.reconciler.refusedCount()).toBe(1);
    kernel.foreign({ op: 'delete', kind: 'rule', rule: theirs });
    await bench.settle(60_000);
    expect(kernel.rules()).toEqual([RULE]);
    expect(bench.reconciler.refusedCount()).toBe(0);
  });

  it('is given up for another: the new routes first, then the new rule, and the old ones go', async () => {
    const { kernel, ...former } = await converged();
    await former.stop();
    kernel.clearRecords();
    const bench = startBench(kernel, meshFeed(2));
    await bench.settle(60_000);
    expect(kernel.rules()).toEqual([]);
    expect(new Set(kernel.routes(PROTOCOL_GINGHAM).map(({ table }) => table))).toEqual(new Set([TABLE_MAIN]));
    expect(kernel.writes.map(({ op, kind }) => `${op} ${kind}`)).toEqual([
      ...new Array(3).fill('put route'),
      'delete rule',
      ...new Array(3).fill('delete route'),
    ]);
  });

  it.each<[FakeOperation, string]>([
    ['put rule', 'ENOMEM'],
    ['put rule', 'EEXIST'],
    ['delete rule', 'EBUSY'],
    ['list rule', 'socket'],
    ['list rule', 'dump-interrupted'],
    ['list rule', 'unsupported'],
  ])('ends right through %s: %s', async (operation, code) => {
    const kernel = nodeKernel();
    kernel.foreign({ op: 'put', kind: 'rule', rule: STRANGE });
    kernel.failNext(operation, code);
    const bench = startBench(kernel, meshFeed(2), OWN);
    await bench.settle(60_000);
    bench.reconciler.resync();
    await bench.settle(60_000);
    kernel.assertFailuresConsumed();
    expect(kernel.rules()).toEqual([RULE]);
    expect(kernel.routes(PROTOCOL_GINGHAM).map(({ prefix }) => prefix)).toEqual([1, 2, 3].map(subnet));
  });
});
