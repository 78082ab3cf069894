// Allocations on a real file system: what is given, freed, kept back and found again.
// Time is a number that the test gives; the lock is the real one.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Owner, withAddresses } from '../../../cni/address-store.ts';
import { allocate, release } from '../../../cni/allocate.ts';
import { type Address, address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';

const SUBNETS = [
  { subnet: prefix('10.5.7.0/29'), gateway: address('10.5.7.1') },
  { subnet: prefix('fd00::/64'), gateway: address('fd00::1') },
];
const NOW = 1_000_000;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gh-addresses-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function owner(containerId: string, network = 'net'): Owner {
  return { network, containerId, ifname: 'eth0' };
}

function give(to: Owner, nowUnixMs = NOW, requested: readonly Address[] = []): Promise<readonly Address[]> {
  const options = { requested, reuseDelaySeconds: 10, nowUnixMs };
  return withAddresses(folder, (store) => allocate(store, to, SUBNETS, options));
}

function free(of: Owner, nowUnixMs = NOW): Promise<readonly Address[]> {
  return withAddresses(folder, (store) => release(store, of, nowUnixMs));
}

test('one address of each family, another one for each pod, the same for nobody', async () => {
  expect(await give(owner('a'))).toEqual(['10.5.7.3', 'fd00::3']);
  expect(await give(owner('b'))).toEqual(['10.5.7.4', 'fd00::4']);
  expect(await withAddresses(folder, (store) => store.of(owner('a')).map((each) => each.address))).toEqual([
    '10.5.7.3',
    'fd00::3',
  ]);
});

test('two networks of a node share its subnets: they never have the same address', async () => {
  const [first] = await give(owner('a'));
  expect(await give(owner('a', 'other'))).not.toContain(first);
  expect(await free(owner('a', 'other'))).toHaveLength(2);
  expect(await withAddresses(folder, (store) => store.allocations.size)).toBe(2);
});

test('what was freed is not given again within the delay, unless it is asked for', async () => {
  for (const name of ['a', 'b', 'c', 'd']) await give(owner(name));
  await free(owner('b'));
  await expect(give(owner('e'), NOW + 9_999)).rejects.toMatchObject({ code: 11 });
  expect(await give(owner('f'), NOW + 9_999, [address('10.5.7.4')])).toContain('10.5.7.4');
  await free(owner('f'), NOW + 20_000);
  expect(await give(owner('e'), NOW + 30_000)).toContain('10.5.7.4');
});

test('a clock that was set back keeps nothing back for ever', async () => {
  for (const name of ['a', 'b', 'c', 'd']) await give(owner(name));
  await free(owner('b'), NOW + 1_000_000);
  expect(await give(owner('e'), NOW)).toContain('10.5.7.4');
});

test('a full subnet, a wrong wish, one that is taken', async () => {
  for (const name of ['a', 'b', 'c', 'd']) await give(owner(name));
  await expect(give(owner('e'))).rejects.toMatchObject({ code: 100 });
  await expect(give(owner('e'), NOW, [address('10.5.7.3')])).rejects.toMatchObject({ code: 101 });
  for (const wrong of ['10.5.7.1', '10.5.7.2', '10.5.7.7', '10.5.8.3', 'fd01::3']) {
    await expect(give(owner('e'), NOW, [address(wrong)])).rejects.toMatchObject({ code: 7 });
  }
  const both = [address('fd00::7'), address('fd00::8')];
  await expect(give(owner('e'), NOW, both)).rejects.toMatchObject({ code: 7 });
  expect(await withAddresses(folder, (store) => store.allocations.size)).toBe(8);
});

test('what killed writers left is swept, damaged files included', async () => {
  await give(owner('a'));
  writeFileSync(join(folder, '.new-123'), '{"net');
  writeFileSync(join(folder, '10.5.7.5'), '');
  writeFileSync(join(folder, 'recent.json'), 'no JSON');
  expect(await give(owner('b'))).toEqual(['10.5.7.4', 'fd00::4']);
  expect(readdirSync(folder).sort()).toEqual(['10.5.7.3', '10.5.7.4', 'fd00::3', 'fd00::4', 'lock', 'recent.json']);
});

test('one at a time: whoever comes later waits', async () => {
  const order: string[] = [];
  let leave = (): void => undefined;
  const first = withAddresses(folder, async () => {
    order.push('in');
    await new Promise<void>((resolve) => {
      leave = resolve;
    });
    order.push('out');
  });
  const second = withAddresses(folder, () => order.push('next'));
  leave();
  await Promise.all([first, second]);
  expect(order).toEqual(['in', 'out', 'next']);
});
