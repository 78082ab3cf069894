// The policy rules of felix (`--route-table`): ours under a delta tracker, by all that they say, for rules have no key.
// Rules of others are not looked at.

import type { KernelEvent, Rule } from '../../lib/kernel/kernel.ts';
import { PROTOCOL_GINGHAM } from '../../lib/kernel/kernel.ts';
import type { Family } from '../../lib/net/address.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { type Drift, KernelTable } from './kernel-table.ts';

type RuleEvent = Extract<KernelEvent, { readonly kind: 'rule' }>;

export class RuleTable {
  readonly table: KernelTable<string, Rule>;

  constructor(clock: Clock) {
    this.table = new KernelTable({
      clock,
      same: () => true,
      put: (rule) => ({ op: 'put', kind: 'rule', rule }),
      remove: (rule) => ({ op: 'delete', kind: 'rule', rule }),
    });
  }

  /** A rule of this family that leads every packet to the table, or none. */
  want(family: Family, wanted: { readonly table: number; readonly priority: number } | undefined): void {
    const { tracker } = this.table;
    const rule = wanted && { family, ...wanted, protocol: PROTOCOL_GINGHAM };
    const key = rule && keyOf(rule);
    for (const [other, { family: of }] of [...tracker.desired]) {
      if (of === family && other !== key) tracker.deleteDesired(other);
    }
    if (rule !== undefined && key !== undefined && !tracker.desired.has(key)) tracker.setDesired(key, rule);
  }

  /** Takes in one notification; what somebody else did to a rule of ours. */
  seen({ type, object }: RuleEvent): Drift | undefined {
    if (object.protocol !== PROTOCOL_GINGHAM) return undefined;
    const what = this.table.seen(keyOf(object), type === 'put' ? object : undefined);
    return what === 'ours' ? undefined : what;
  }

  /** Takes in a complete listing. */
  replace(rules: readonly Rule[], isFirst: boolean): Drift[] {
    const ours = rules.filter(({ protocol }) => protocol === PROTOCOL_GINGHAM);
    return this.table.replace(
      ours.map((rule) => [keyOf(rule), rule] as const),
      isFirst,
    );
  }
}

function keyOf({ family, priority, table }: Rule): string {
  return `${family} ${priority} ${table}`;
}
