// What the fake kernel adds to being a Kernel: failures to order, records, foreign changes, lost notifications.
// That it is a Kernel is for test/contract/kernel.fake.test.ts to say.

import { beforeEach, describe, expect, test } from 'vitest';
import type { KernelChange, KernelEvent, Route } from '../../../lib/kernel/kernel.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { FakeKernel } from '../../fakes/fake-kernel.ts';

let kernel: FakeKernel;
let card: number;

beforeEach(() => {
  kernel = new FakeKernel();
  card = kernel.addLink({ name: 'card0', up: true }).index;
});

function route(third: number): Route {
  const key = { table: 254, prefix: prefix(`10.5.${third}.0/24`), tos: 0, metric: 0 };
  return { ...key, protocol: 71, type: 'unicast', nextHops: [{ linkIndex: card }] };
}

function put(third: number): KernelChange {
  return { op: 'put', kind: 'route', route: route(third) };
}

describe('an ordered failure', () => {
  test('of a change happens as often as ordered, and then no more', async () => {
    kernel.failNext('put route', 'ENOMEM', { times: 2 });
    expect(() => kernel.assertFailuresConsumed()).toThrow('put route: ENOMEM (2 left)');
    const results = await kernel.apply([put(1), put(2), put(3)]);
    expect(results).toMatchObject([{ code: 'ENOMEM', what: 'put route 10.5.1.0/24' }, { code: 'ENOMEM' }, undefined]);
    expect(kernel.routes(71)).toEqual([route(3)]);
    kernel.assertFailuresConsumed();
  });

  test('may be of one change only', async () => {
    kernel.failNext('put route', 'EINVAL', {
      matching: (change) => change.op === 'put' && change.kind === 'route' && change.route.prefix === '10.5.2.0/24',
    });
    expect((await kernel.apply([put(1), put(2)])).map((failure) => failure?.code)).toEqual([undefined, 'EINVAL']);
  });

  test('of a deletion that means success is success', async () => {
    kernel.foreign(put(1));
    kernel.failNext('delete route', 'ESRCH');
    expect(await kernel.apply([{ op: 'delete', kind: 'route', route: route(1) }])).toEqual([undefined]);
  });

  test('of a listing is a KernelError, of that kind only', async () => {
    kernel.failNext('list route', 'dump-interrupted');
    expect(await kernel.list('link')).toHaveLength(2);
    await expect(kernel.list('route')).rejects.toMatchObject({ code: 'dump-interrupted' });
    expect(await kernel.list('route')).toEqual([]);
  });

  test('of a whole call may come after some changes are made', async () => {
    kernel.failNext('apply', 'socket', { afterChanges: 1 });
    await expect(kernel.apply([put(1), put(2)])).rejects.toMatchObject({ code: 'socket' });
    expect(kernel.routes(71)).toEqual([route(1)]);
  });

  test('of subscribe and routeTo', async () => {
    kernel.failNext('subscribe', 'socket');
    kernel.failNext('routeTo', 'permission');
    await expect(kernel.subscribe(['link'], () => undefined)).rejects.toMatchObject({ code: 'socket' });
    await expect(kernel.routeTo('10.0.0.1' as never)).rejects.toMatchObject({ code: 'permission' });
    kernel.assertFailuresConsumed();
  });
});

test('records hold every change that was asked for, refused ones included, and every listing', async () => {
  kernel.failNext('put route', 'ENOMEM');
  await kernel.apply([put(1), put(2)]);
  await kernel.list('route');
  expect(kernel.writes).toEqual([put(1), put(2)]);
  expect(kernel.listings).toEqual(['route']);
  kernel.clearRecords();
  expect([kernel.writes, kernel.listings]).toEqual([[], []]);
});

test('foreign changes are told to subscribers and not recorded; one that is refused fails the test', async () => {
  const events: KernelEvent[] = [];
  await kernel.subscribe(['route', 'link'], (event) => events.push(event));
  kernel.foreign(put(1), { op: 'put', kind: 'link', link: { name: 'card0', up: false } });
  await Promise.resolve();
  expect(events.map((event) => event.type !== 'resync' && event.kind)).toEqual(['route', 'link']);
  expect(kernel.writes).toEqual([]);
  expect(() => kernel.foreign(put(2))).toThrow('put route 10.5.2.0/24: ENETDOWN');
});

test('lost notifications are one resync', async () => {
  const events: KernelEvent[] = [];
  await kernel.subscribe(['route'], (event) => events.push(event));
  kernel.loseNotifications(() => kernel.foreign(put(1), put(2)));
  await Promise.resolve();
  expect(events).toEqual([{ type: 'resync' }]);
});

test('what it gives away is a copy', async () => {
  await kernel.apply([put(1)]);
  const [listed] = await kernel.list('route', { protocol: 71 });
  Object.assign(listed as object, { protocol: 4 });
  expect(kernel.routes(71)).toEqual([route(1)]);
});
