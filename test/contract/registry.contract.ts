// What every Registry must do, run against the fake and against a real etcd.
//
// Each test works under a prefix of its own, so that tests share one store.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Registry, RegistryEvent } from '../../lib/registry/registry.ts';
import { eventually } from '../eventually.ts';

export interface RegistrySubject {
  /** A client of the store under test. */
  open(): Promise<Registry>;
  /** Writes and removes without any condition, as an operator does. */
  write(key: string, value: string): Promise<void>;
  erase(key: string): Promise<void>;
  /** Forgets the history up to now. */
  compact(): Promise<void>;
  /** Lets this many seconds pass for leases. */
  pass(seconds: number): Promise<void>;
  /** Ids of all leases that the store holds. */
  leaseIds(): Promise<readonly string[]>;
}

let counter = 0;

export function registryContract(name: string, subject: RegistrySubject): void {
  describe(`${name} is a Registry`, () => {
    let registry: Registry;
    let prefix: string;

    beforeEach(async () => {
      registry = await subject.open();
      prefix = `/contract/${counter++}/`;
    });

    afterEach(async () => {
      await registry.close();
    });

    function watch(): RegistryEvent[] {
      const seen: RegistryEvent[] = [];
      registry.watch(prefix, (event) => seen.push(event), new AbortController().signal);
      return seen;
    }

    test('what is absent reads as undefined', async () => {
      expect(await registry.get(`${prefix}a`)).toBeUndefined();
      expect((await registry.list(prefix)).entries).toEqual([]);
    });

    test('a put on an absent key gives the entry that get and list then give', async () => {
      const entry = await registry.put(`${prefix}a`, 'één', { absent: true }, undefined);
      expect(entry).toMatchObject({ key: `${prefix}a`, value: 'één' });
      expect(entry?.leaseId).toBeUndefined();
      expect(await registry.get(`${prefix}a`)).toEqual(entry);
      const snapshot = await registry.list(prefix);
      expect(snapshot.entries).toEqual([entry]);
      expect(snapshot.revision).toBeGreaterThanOrEqual(entry?.modRevision ?? 0n);
    });

    test('a put whose precondition fails writes nothing and leaves no lease', async () => {
      await registry.put(`${prefix}a`, 'first', { absent: true }, undefined);
      const before = await subject.leaseIds();
      expect(await registry.put(`${prefix}a`, 'second', { absent: true }, 60)).toBeUndefined();
      expect(await registry.put(`${prefix}a`, 'second', { modRevision: 1n }, 60)).toBeUndefined();
      expect(await registry.put(`${prefix}b`, 'second', { modRevision: 1n }, 60)).toBeUndefined();
      expect((await registry.list(prefix)).entries.map(({ value }) => value)).toEqual(['first']);
      expect(await subject.leaseIds()).toEqual(before);
    });

    test('a put at the revision that was read replaces the entry and revokes its lease', async () => {
      const first = await registry.put(`${prefix}a`, 'one', { absent: true }, 60);
      const second = await registry.put(`${prefix}a`, 'two', { modRevision: first?.modRevision ?? 0n }, 60);
      expect(second?.value).toBe('two');
      expect(second?.modRevision).toBeGreaterThan(first?.modRevision ?? 0n);
      const leases = await subject.leaseIds();
      expect(leases).toContain(second?.leaseId);
      expect(leases).not.toContain(first?.leaseId);
      expect(await registry.get(`${prefix}a`)).toEqual(second);
    });

    test('of two puts on one absent key exactly one is done', async () => {
      const puts = ['x', 'y', 'z'].map((value) => registry.put(`${prefix}a`, value, { absent: true }, 60));
      const done = (await Promise.all(puts)).filter((entry) => entry !== undefined);
      expect(done).toHaveLength(1);
      expect((await registry.get(`${prefix}a`))?.value).toBe(done[0]?.value);
    });

    test('create writes the first candidate whose key is absent, on a lease, and says which', async () => {
      await subject.write(`${prefix}a`, 'taken');
      await subject.write(`${prefix}b`, 'taken');
      const candidates = ['a', 'b', 'c', 'd'].map((name) => ({ key: prefix + name, value: `for ${name}` }));
      const entry = await registry.create(candidates, 60);
      expect(entry).toMatchObject({ key: `${prefix}c`, value: 'for c' });
      expect(await registry.get(`${prefix}c`)).toEqual(entry);
      expect(await subject.leaseIds()).toContain(entry?.leaseId);
      expect(await registry.get(`${prefix}d`)).toBeUndefined();
      const next = await registry.create(candidates, 60);
      expect(next).toMatchObject({ key: `${prefix}d` });
      const before = await subject.leaseIds();
      expect(await registry.create(candidates, 60)).toBeUndefined();
      expect(await subject.leaseIds()).toEqual(before);
    });

    test('of many that create among the same candidates each gets another, down to the last', async () => {
      const candidates = Array.from({ length: 16 }, (_, i) => ({ key: `${prefix}${i}`, value: '' }));
      const created = await Promise.all(Array.from({ length: 18 }, () => registry.create(candidates, 60)));
      const keys = created.flatMap((entry) => entry?.key ?? []);
      expect(keys).toHaveLength(16);
      expect(new Set(keys).size).toBe(16);
    });

    test('a delete needs the revision that was read', async () => {
      const entry = await registry.put(`${prefix}a`, 'one', { absent: true }, undefined);
      expect(await registry.delete(`${prefix}a`, 1n)).toBe(false);
      expect(await registry.get(`${prefix}a`)).toEqual(entry);
      expect(await registry.delete(`${prefix}a`, entry?.modRevision ?? 0n)).toBe(true);
      expect(await registry.get(`${prefix}a`)).toBeUndefined();
    });

    test('seconds left count down to the end of the lease, and the entry goes with it', async () => {
      const entry = await registry.put(`${prefix}a`, 'one', { absent: true }, 2);
      const stays = await registry.put(`${prefix}b`, 'two', { absent: true }, undefined);
      if (entry === undefined || stays === undefined) throw new Error('nothing was written');
      expect(await registry.secondsLeft(stays)).toBeUndefined();
      expect(await registry.secondsLeft(entry)).toBeGreaterThanOrEqual(1);
      await subject.pass(2);
      await eventually('the entry is gone', async () => (await registry.get(entry.key)) === undefined);
      expect(await registry.secondsLeft(entry)).toBe(0);
      expect(await registry.get(stays.key)).toEqual(stays);
    });

    test('a renewed lease lives on, and nothing is written', async () => {
      const entry = await registry.put(`${prefix}a`, 'one', { absent: true }, 60);
      const stays = await registry.put(`${prefix}b`, 'two', { absent: true }, undefined);
      if (entry === undefined || stays === undefined) throw new Error('nothing was written');
      await subject.pass(3);
      await eventually('some of it has passed', async () => ((await registry.secondsLeft(entry)) ?? 0) <= 58);
      const seen = watch();
      await eventually('a snapshot came', () => seen.length === 1);
      expect(await registry.renew(entry)).toBe(true);
      expect(await registry.secondsLeft(entry)).toBeGreaterThanOrEqual(59);
      expect(await registry.get(entry.key)).toEqual(entry);
      expect(await registry.renew(stays)).toBe(false);
      await subject.write(`${prefix}c`, 'a change at last');
      await eventually('the change came', () => seen.length === 2);
      expect(seen[1]).toMatchObject({ type: 'put', entry: { key: `${prefix}c` } });
    });

    test('a lease that has run out, or was revoked, is not renewed', async () => {
      const entry = await registry.put(`${prefix}a`, 'one', { absent: true }, 60);
      if (entry === undefined) throw new Error('nothing was written');
      expect(await registry.put(`${prefix}a`, 'two', { modRevision: entry.modRevision }, 60)).toBeDefined();
      expect(await registry.renew(entry)).toBe(false);
    });

    test('a watch begins with a snapshot and goes on with the changes, in order', async () => {
      const old = await registry.put(`${prefix}old`, 'o', { absent: true }, undefined);
      const seen = watch();
      await eventually('a snapshot came', () => seen.length === 1);
      expect(seen[0]).toMatchObject({ type: 'snapshot', snapshot: { entries: [old] } });
      await subject.write(`${prefix}new`, 'n');
      await subject.write('/contract/elsewhere', 'not for this watch');
      await subject.erase(`${prefix}old`);
      await eventually('both changes came', () => seen.length === 3);
      expect(seen[1]).toMatchObject({ type: 'put', entry: { key: `${prefix}new`, value: 'n' } });
      expect(seen[2]).toMatchObject({ type: 'delete', key: `${prefix}old` });
    });

    test('a watch sees an entry expire', async () => {
      await registry.put(`${prefix}a`, 'one', { absent: true }, 2);
      const seen = watch();
      await eventually('a snapshot came', () => seen.length === 1);
      await subject.pass(2);
      await eventually('the end came', () => seen.some(({ type }) => type === 'delete'));
    });

    test('a watch that was opened after a compaction works', async () => {
      await subject.write(`${prefix}a`, '1');
      await subject.write(`${prefix}a`, '2');
      await subject.compact();
      const seen = watch();
      await eventually('a snapshot came', () => seen.length === 1);
      await subject.write(`${prefix}a`, '3');
      await eventually('the change came', () => seen.length === 2);
      expect(seen[1]).toMatchObject({ type: 'put', entry: { value: '3' } });
    });

    test('nothing is told after the signal aborts', async () => {
      const seen: RegistryEvent[] = [];
      const aborting = new AbortController();
      registry.watch(prefix, (event) => seen.push(event), aborting.signal);
      const other = watch();
      await eventually('both began', () => seen.length === 1 && other.length === 1);
      aborting.abort();
      await subject.write(`${prefix}a`, '1');
      await eventually('the other watch saw it', () => other.length === 2);
      expect(seen).toHaveLength(1);
    });
  });
}
