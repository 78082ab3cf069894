// What every Kernel must do with nexthop objects, run on the fake and on the real one.
//
// Much of it happens in silence on a real kernel, and so it must on the fake: that is what felix has to live with.

import { describe, expect, test } from 'vitest';
import { type Nexthop, PROTOCOL_GINGHAM } from '../../lib/kernel/kernel.ts';
import type { KernelRig } from './kernel.contract.ts';
import { FAR, GATEWAYS, insideOf, put, putNexthop, remove, routeOf, useTwoCards } from './two-cards.ts';

export function kernelNexthopsContract(name: string, open: () => Promise<KernelRig>): void {
  describe(`${name} is a Kernel with nexthop objects`, () => {
    const { kernel, cards, done, refusal, shaped, putNexthops, ours } = useTwoCards(open);

    describe.each([4, 6] as const)('IPv%i', (family) => {
      test('nexthop objects are listed as they were put', async () => {
        await putNexthops(family);
        const onlink = { gateway: FAR[family], linkIndex: cards().b, onlink: true };
        await done(
          putNexthop({ id: 14, family, hop: onlink }),
          putNexthop({ id: 15, family, blackhole: true }),
          putNexthop({ id: 16, family, group: [{ id: 14, weight: 256 }] }),
          putNexthop({ id: 17, family, hop: { linkIndex: cards().a } }),
        );
        const listed = await kernel().list('nexthop', { protocol: PROTOCOL_GINGHAM });
        const protocol = PROTOCOL_GINGHAM;
        expect(listed.toSorted((x, y) => x.id - y.id)).toEqual([
          { id: 11, protocol, family, hop: { gateway: GATEWAYS[family][0], linkIndex: cards().a } },
          { id: 12, protocol, family, hop: { gateway: GATEWAYS[family][1], linkIndex: cards().b } },
          {
            id: 13,
            protocol,
            family,
            group: [
              { id: 11, weight: 1 },
              { id: 12, weight: 3 },
            ],
          },
          { id: 14, protocol, family, hop: onlink },
          { id: 15, protocol, family, blackhole: true },
          { id: 16, protocol, family, group: [{ id: 14, weight: 256 }] },
          { id: 17, protocol, family, hop: { linkIndex: cards().a } },
        ]);
        expect(await kernel().list('nexthop', { family: family === 4 ? 6 : 4 })).toEqual([]);
        expect(await kernel().list('nexthop', { linkIndex: cards().a })).toHaveLength(2);
      });

      test('a route through a blackhole object is listed as it was put', async () => {
        const route = routeOf(family, { nexthopId: 15 });
        await done(putNexthop({ id: 15, family, blackhole: true }), put(route));
        expect(await ours()).toEqual([route]);
        expect(await kernel().routeTo(insideOf(family))).toBeUndefined();
        await done(remove(route));
        expect(await ours()).toEqual([]);
      });

      test('a nexthop object is replaced under the routes that use it', async () => {
        await putNexthops(family);
        const route = shaped('through a nexthop group', family);
        await done(put(route));
        const group = [{ id: 12, weight: 1 }];
        await done(putNexthop({ id: 13, family, group }));
        expect(await ours()).toEqual([route]);
        expect(await kernel().routeTo(insideOf(family))).toMatchObject({
          linkIndex: cards().b,
          gateway: GATEWAYS[family][1],
        });
      });

      test('a nexthop object takes its routes along, and leaves its groups', async () => {
        await putNexthops(family);
        const single = shaped('through a nexthop object', family);
        const group = routeOf(family, { nexthopId: 13, metric: 5 });
        await done(put(single), put(group), { op: 'delete', kind: 'nexthop', id: 11 });
        expect(await ours()).toEqual([group]);
        expect(await kernel().list('nexthop')).toMatchObject([{ id: 12 }, { id: 13, group: [{ id: 12 }] }]);
        await done({ op: 'delete', kind: 'nexthop', id: 12 }, { op: 'delete', kind: 'nexthop', id: 12 });
        expect(await kernel().list('nexthop')).toEqual([]);
        expect(await ours()).toEqual([]);
      });

      test('a link that goes down takes its nexthop objects along', async () => {
        await putNexthops(family);
        const group = shaped('through a nexthop group', family);
        await done(put(group), { op: 'put', kind: 'link', link: { name: 'card0', up: false } });
        expect(await kernel().list('nexthop')).toMatchObject([{ id: 12 }, { id: 13, group: [{ id: 12 }] }]);
        expect(await ours()).toEqual([group]);
      });

      test('a nexthop object that cannot work is refused', async () => {
        await putNexthops(family);
        const cases: readonly [string, Omit<Nexthop, 'protocol'>][] = [
          ['EINVAL', { id: 20, family, hop: { linkIndex: 9999 } }],
          ['EINVAL', { id: 20, family, hop: { gateway: GATEWAYS[family][0] } }],
          ['EINVAL', { id: 20, family, group: [{ id: 9999, weight: 1 }] }],
          ['EINVAL', { id: 20, family, group: [] }],
          ['EINVAL', { id: 20, family, group: [{ id: 13, weight: 1 }] }],
          ['EINVAL', { id: 20, family, group: [{ id: 11, weight: 257 }] }],
          ['EINVAL', { id: 20, family, group: [{ id: 11, weight: 0 }] }],
          ['EINVAL', { id: 13, family, hop: { linkIndex: cards().a } }],
          ['EINVAL', { id: 11, family, group: [{ id: 12, weight: 1 }] }],
        ];
        for (const [code, nexthop] of cases) {
          expect({ nexthop, code: (await refusal(putNexthop(nexthop)))?.code }).toEqual({ nexthop, code });
        }
        expect(await kernel().list('nexthop')).toHaveLength(3);
      });
    });
  });
}
