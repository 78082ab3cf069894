// What every Kernel must do with policy rules, run on the fake and on the real one.
//
// The real one begins with rules of its own (to the tables local, main and default): listings here are of our protocol.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type KernelEvent, PROTOCOL_GINGHAM, type Rule } from '../../lib/kernel/kernel.ts';
import { eventually } from '../eventually.ts';
import type { KernelRig } from './kernel.contract.ts';

export function kernelRulesContract(name: string, open: () => Promise<KernelRig>): void {
  describe(`${name} is a Kernel with policy rules`, () => {
    let rig: KernelRig;

    beforeEach(async () => {
      rig = await open();
    });
    afterEach(() => rig.dispose());

    const ours = (): Promise<Rule[]> => rig.kernel.list('rule', { protocol: PROTOCOL_GINGHAM });

    describe.each([4, 6] as const)('IPv%i', (family) => {
      const rule: Rule = { family, priority: 7100, table: 1000, protocol: PROTOCOL_GINGHAM };

      test('one is put, refused a second time, deleted, deleted again', async () => {
        expect(await rig.kernel.apply([{ op: 'put', kind: 'rule', rule }])).toEqual([undefined]);
        expect(await ours()).toEqual([rule]);
        expect(await rig.kernel.list('rule', { table: 1000, family })).toEqual([rule]);
        expect(await rig.kernel.list('rule', { table: 1001 })).toEqual([]);
        expect(await rig.kernel.list('rule', { table: 1000, family: family === 4 ? 6 : 4 })).toEqual([]);
        const [failure] = await rig.kernel.apply([{ op: 'put', kind: 'rule', rule }]);
        expect(failure).toMatchObject({ code: 'EEXIST', what: `put rule 7100 to table 1000 for IPv${family}` });
        expect(await rig.kernel.apply([{ op: 'delete', kind: 'rule', rule }])).toEqual([undefined]);
        expect(await rig.kernel.apply([{ op: 'delete', kind: 'rule', rule }])).toEqual([undefined]);
        expect(await ours()).toEqual([]);
      });

      test('the same with another priority, table or writer is another rule', async () => {
        const others = [
          { ...rule, priority: 7101 },
          { ...rule, table: 77 },
        ];
        await rig.kernel.apply([rule, ...others].map((each) => ({ op: 'put', kind: 'rule', rule: each })));
        expect(await ours()).toHaveLength(3);
        await rig.kernel.apply([{ op: 'delete', kind: 'rule', rule: { ...rule, protocol: 4 } }]);
        expect(await ours()).toHaveLength(3);
        await rig.kernel.apply([{ op: 'delete', kind: 'rule', rule }]);
        expect((await ours()).toSorted((a, b) => b.priority - a.priority)).toEqual(others);
      });

      test('subscribers are told', async () => {
        const events: KernelEvent[] = [];
        await rig.kernel.subscribe(['rule'], (event) => events.push(event));
        await rig.kernel.apply([{ op: 'put', kind: 'rule', rule }]);
        await rig.kernel.apply([{ op: 'delete', kind: 'rule', rule }]);
        await eventually('both are told', () => events.length === 2);
        expect(events).toEqual(['put', 'delete'].map((type) => ({ type, kind: 'rule', object: rule })));
      });
    });
  });
}
