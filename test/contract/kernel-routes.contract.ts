// What every Kernel must do with routes, run on the fake and on the real one.
//
// The one confusing thing of rtnetlink here is replacing: IPv6 keeps the hops of one route as several routes, so every
// shape of a route is replaced by every other, and must then read back as exactly the new one (Calico issue 12959).

import { describe, expect, test } from 'vitest';
import { type KernelEvent, type Nexthop, PROTOCOL_GINGHAM, type Route, TABLE_MAIN } from '../../lib/kernel/kernel.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import type { KernelRig } from './kernel.contract.ts';
import {
  FAR,
  GATEWAYS,
  insideOf,
  OWN,
  PREFIXES,
  put,
  putNexthop,
  remove,
  routeOf,
  SHAPE_NAMES,
  SHAPES,
  useTwoCards,
} from './two-cards.ts';

export function kernelRoutesContract(name: string, open: () => Promise<KernelRig>): void {
  describe(`${name} is a Kernel with routes`, () => {
    const { kernel, cards, done, refusal, shaped, putNexthops, ours } = useTwoCards(open);

    describe.each([4, 6] as const)('IPv%i', (family) => {
      test.each(SHAPE_NAMES)('a route %s is listed as it was put, and deleted', async (shape) => {
        await putNexthops(family);
        const route = shaped(shape, family);
        await done(put(route));
        expect(await ours()).toEqual([route]);
        await done(remove(route));
        expect(await ours()).toEqual([]);
        await done(remove(route));
      });

      test.each(SHAPE_NAMES)('a route %s replaces, and is replaced by, every other shape', async (shape) => {
        await putNexthops(family);
        const route = shaped(shape, family);
        for (const other of SHAPE_NAMES) {
          const before = shaped(other, family);
          await done(put(before));
          expect(await ours()).toEqual([before]);
          await done(put(route));
          expect(await ours()).toEqual([route]);
        }
      });

      test('routes of different tables, metrics and protocols stand side by side', async () => {
        const hop = { nextHops: [{ linkIndex: cards().a }] };
        const routes = [
          routeOf(family, { ...hop, metric: 50 }),
          routeOf(family, { ...hop, metric: 60 }),
          routeOf(family, { ...hop, metric: 50, table: 100 }),
          routeOf(family, { ...hop, metric: 50, table: 100_000 }),
          routeOf(family, { ...hop, metric: 70, protocol: 4 }),
        ];
        await done(...routes.map(put));
        expect(await kernel().list('route', { table: TABLE_MAIN, protocol: 4 })).toEqual([routes[4]]);
        expect(await kernel().list('route', { table: 100 })).toEqual([routes[2]]);
        expect(await kernel().list('route', { table: 100_000, family })).toEqual([routes[3]]);
        expect(await kernel().list('route', { table: 77 })).toEqual([]);
        expect(await kernel().list('route', { protocol: PROTOCOL_GINGHAM, linkIndex: cards().b })).toEqual([]);
        expect(await kernel().list('route', { linkIndex: 9999 })).toEqual([]);
        expect((await ours()).length).toBe(4);
        await done(remove(routes[0] as Route));
        expect(await kernel().list('route', { table: TABLE_MAIN, protocol: PROTOCOL_GINGHAM })).toEqual([routes[1]]);
      });

      test('the default route and a host route', async () => {
        const hop = { nextHops: [{ gateway: GATEWAYS[family][0], linkIndex: cards().a }] };
        const everything = routeOf(family, { ...hop, prefix: prefix(family === 4 ? '0.0.0.0/0' : '::/0') });
        const host = routeOf(family, { ...hop, prefix: prefix(family === 4 ? '10.9.9.9/32' : 'fd99::9/128') });
        await done(put(everything), put(host));
        expect(await ours()).toEqual(expect.arrayContaining([everything, host]));
      });

      test('a gateway without a device is looked up', async () => {
        await done(put(routeOf(family, { nextHops: [{ gateway: GATEWAYS[family][1] }] })));
        expect((await ours())[0]?.nextHops).toEqual([{ gateway: GATEWAYS[family][1], linkIndex: cards().b }]);
      });

      test('a deletion that names another protocol leaves the route alone', async () => {
        const route = shaped('through a device', family);
        await done(put(route), remove({ ...route, protocol: 4 }));
        expect(await ours()).toEqual([route]);
      });

      test('what cannot work is refused, with a reason', async () => {
        const { a } = cards();
        const gateway = GATEWAYS[family][0];
        const cases: readonly [string, Partial<Route>][] = [
          ['ENODEV', { nextHops: [{ linkIndex: 9999 }] }],
          ['ENODEV', { nextHops: [] }],
          ['ENODEV', { nextHops: [{ gateway, onlink: true }] }],
          [family === 4 ? 'ENETUNREACH' : 'EHOSTUNREACH', { nextHops: [{ gateway: FAR[family], linkIndex: a }] }],
          [family === 4 ? 'ENETUNREACH' : 'EHOSTUNREACH', { nextHops: [{ gateway: FAR[family] }] }],
          ['EINVAL', { nextHops: [{ linkIndex: a }], source: FAR[family] }],
          ['EINVAL', { nexthopId: 9999 }],
        ];
        for (const [code, more] of cases) {
          const failure = await refusal(put(routeOf(family, more)));
          expect({ more, code: failure?.code }).toEqual({ more, code });
          expect(failure?.what).toContain(`put route ${PREFIXES[family]}`);
        }
        await done({ op: 'put', kind: 'link', link: { name: 'card0', up: false } });
        expect((await refusal(put(routeOf(family, { nextHops: [{ linkIndex: a }] }))))?.code).toBe('ENETDOWN');
        expect(await ours()).toEqual([]);
      });

      test('one refusal does not stop the rest, and is told in its place', async () => {
        const good = (at: number): Route =>
          routeOf(family, {
            prefix: prefix(
              family === 4 ? `10.${16 + (at >> 8)}.${at & 255}.0/24` : `fd00:6:${(at + 1).toString(16)}::/64`,
            ),
            nextHops: [{ gateway: GATEWAYS[family][0], linkIndex: cards().a }],
          });
        const bad = [0, 700, 1999];
        const changes = Array.from({ length: 2000 }, (_, at) =>
          put(bad.includes(at) ? { ...good(at), nextHops: [{ linkIndex: 9999 }] } : good(at)),
        );
        const results = await kernel().apply(changes);
        expect(results.length).toBe(2000);
        expect(results.flatMap((failure, at) => (failure === undefined ? [] : [`${at} ${failure.code}`]))).toEqual(
          bad.map((at) => `${at} ENODEV`),
        );
        const expected = changes.flatMap((change, at) =>
          bad.includes(at) || change.op === 'delete' || change.kind !== 'route' ? [] : [change.route],
        );
        const listed = new Map((await ours()).map((route) => [route.prefix, route]));
        expect(listed).toEqual(new Map(expected.map((route) => [route.prefix, route])));
        await done(...expected.map(remove));
        expect(await ours()).toEqual([]);
      });

      test('a route goes when all its links are down', async () => {
        const single = shaped('through a gateway', family);
        const double = routeOf(family, {
          ...SHAPES['through two weighted gateways']?.(cards(), family),
          prefix: prefix(family === 4 ? '10.5.2.0/24' : 'fd00:5:2::/64'),
        });
        await done(put(single), put(double), { op: 'put', kind: 'link', link: { name: 'card0', up: false } });
        expect(await ours()).toEqual([double]);
        await done({ op: 'put', kind: 'link', link: { name: 'card1', up: false } });
        expect(await ours()).toEqual([]);
      });

      test('a route through two links of which one goes away: IPv4 loses it, IPv6 the hop', async () => {
        const route = shaped('through two weighted gateways', family);
        await done(put(route), { op: 'delete', kind: 'link', name: 'card1' });
        const left = { ...route, nextHops: route.nextHops.slice(0, 1) };
        expect(await ours()).toEqual(family === 4 ? [] : [left]);
      });

      test('events tell of routes and nexthop objects', async () => {
        const events: KernelEvent[] = [];
        await kernel().subscribe(['route', 'nexthop'], (event) => events.push(event));
        await putNexthops(family);
        const route = shaped('through two weighted gateways', family);
        await done(put(route));
        await done(remove(route), { op: 'delete', kind: 'nexthop', id: 13 });
        const group = [
          { id: 11, weight: 1 },
          { id: 12, weight: 3 },
        ];
        const nexthop: Nexthop = { id: 13, protocol: PROTOCOL_GINGHAM, family, group };
        await eventually('all is told', () => {
          for (const type of ['put', 'delete'] as const) {
            expect(events).toContainEqual({ type, kind: 'route', object: route });
            expect(events).toContainEqual({ type, kind: 'nexthop', object: nexthop });
          }
          return true;
        });
      });

      test('routeTo says what the kernel would do', async () => {
        const far = insideOf(family);
        expect(await kernel().routeTo(far)).toBeUndefined();
        await done(put(shaped('with source and MTU', family)));
        const [gateway] = GATEWAYS[family];
        expect(await kernel().routeTo(far)).toEqual({ linkIndex: cards().a, gateway, source: OWN[family][0] });
        expect(await kernel().routeTo(GATEWAYS[family][1])).toEqual({ linkIndex: cards().b, source: OWN[family][1] });
        await done(put(shaped('to a blackhole', family)));
        expect(await kernel().routeTo(far)).toBeUndefined();
      });
    });

    test('IPv4 metric 0 of a deletion is any metric, unless type or protocol say otherwise', async () => {
      const blackhole = routeOf(4, { type: 'blackhole', metric: 32_767 });
      await done(put(blackhole), remove({ ...blackhole, type: 'unicast', metric: 0 }));
      expect(await ours()).toEqual([blackhole]);
      const { type: _type, ...anyType } = blackhole;
      await done({ op: 'delete', kind: 'route', route: { ...anyType, metric: 0 } });
      expect(await ours()).toEqual([]);
    });

    test('IPv6 metric 0 is 1024, in a deletion too', async () => {
      const high = routeOf(6, { nextHops: [{ linkIndex: cards().a }], metric: 2048 });
      const normal = routeOf(6, { nextHops: [{ linkIndex: cards().a }], metric: 0 });
      await done(put(high), put(normal));
      expect((await ours()).map(({ metric }) => metric)).toEqual([1024, 2048]);
      await done(remove(normal), remove(normal));
      expect(await ours()).toEqual([high]);
    });

    test('an IPv4 route may lead through an IPv6 gateway, directly and by object', async () => {
      const hop = { gateway: GATEWAYS[6][0], linkIndex: cards().a };
      const direct = routeOf(4, { nextHops: [hop] });
      const byObject = routeOf(4, { nexthopId: 30, metric: 9 });
      await done(put(direct), putNexthop({ id: 30, family: 6, hop }), put(byObject));
      expect(await ours()).toEqual([direct, byObject]);
    });
  });
}
