// Routes that are added while running beside those of the file: who wins where both, or flanneld, name a prefix.
// A real RIB; what it tells its feed is published nowhere.

import { beforeEach, expect, it } from 'vitest';
import type { Attributes } from '../../../bgpd/rib/attributes.ts';
import { Rib } from '../../../bgpd/rib/rib.ts';
import { StaticRoutes } from '../../../bgpd/static-routes.ts';
import { address } from '../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../lib/net/prefix.ts';
import { systemClock } from '../../../lib/run/clock.ts';

const OWN = address('192.0.2.1');
const MOVED = address('192.0.2.9');
const [P, Q] = [prefix('10.9.0.0/16'), prefix('10.8.0.0/16')];
const IN_FILE = { prefix: P, communities: [7], isAggregate: false };

let rib: Rib;
let routes: StaticRoutes;
let own: typeof OWN;
let leased: Prefix | undefined;
let changes: number;

beforeEach(() => {
  own = OWN;
  leased = undefined;
  changes = 0;
  rib = new Rib({ asn: 64_512, routerId: OWN, maximumPaths: 1 }, OWN);
  routes = new StaticRoutes({
    rib,
    clock: systemClock,
    publish: () => undefined,
    address: () => own,
    isLeased: (each) => each === leased,
    changed: () => changes++,
  });
});

it('added with what was given, changed, and taken back', () => {
  expect(routes.add(P, { med: 5 })).toBeUndefined();
  expect(best(P)).toMatchObject({ nextHop: OWN, med: 5, origin: 'igp' });
  expect(routes.add(P, { nextHop: MOVED, origin: 'incomplete' })).toBeUndefined();
  expect(best(P)).toMatchObject({ nextHop: MOVED, origin: 'incomplete' });
  expect(best(P)?.med).toBeUndefined();
  routes.remove([P, Q]);
  expect(best(P)).toBeUndefined();
  expect([routes.added.size, changes]).toEqual([0, 3]);
});

it('the file wins: a prefix of it cannot be added, and one that comes into it is no longer an added one', () => {
  routes.add(P, { med: 5 });
  routes.add(Q, {});
  routes.setFile([IN_FILE]);
  expect(best(P)).toMatchObject({ communities: [7] });
  expect([...routes.added.keys()]).toEqual([Q]);
  expect(routes.add(P, {})).toMatch(/10\.9\.0\.0\/16 is a route of the configuration file/);
  routes.remove([P]);
  expect(best(P)).toBeDefined();
  routes.setFile([]);
  expect([best(P), best(Q)?.nextHop]).toEqual([undefined, OWN]);
});

it('a subnet of flanneld cannot be added, and is not taken away where it came later', () => {
  leased = P;
  expect(routes.add(P, {})).toMatch(/is a subnet of this node/);
  leased = undefined;
  routes.add(P, {});
  leased = P;
  rib.originate(OWN, [P], undefined);
  routes.remove([P]);
  expect(best(P)).toBeDefined();
});

it('the address of the node is another: routes that name no next hop follow', () => {
  routes.setFile([IN_FILE]);
  routes.add(Q, { med: 1 });
  own = MOVED;
  routes.moved();
  expect([best(P)?.nextHop, best(Q)?.nextHop, best(Q)?.med]).toEqual([MOVED, MOVED, 1]);
});

function best(of: Prefix): Attributes | undefined {
  return rib.explain(of)?.decision.best?.attributes;
}
