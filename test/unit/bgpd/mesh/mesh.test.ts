// Following the registry: who is there, what is malformed, and what stays when etcd is away.
// etcd is one in memory, time is a fake clock's.

import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Mesh } from '../../../../bgpd/mesh/mesh.ts';
import { encodeNodeRecord } from '../../../../bgpd/mesh/node-record.ts';
import { address } from '../../../../lib/net/address.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { MemoryEtcd } from '../../../fakes/memory-registry.ts';

const PREFIX = '/gingham/nodes/';

let clock: FakeClock;
let etcd: MemoryEtcd;
let stop: AbortController;
let mesh: Mesh;
/** Names after each change. */
let seen: string[][];
let malformed: number;

beforeEach(() => {
  clock = new FakeClock();
  etcd = new MemoryEtcd(clock);
  stop = new AbortController();
  seen = [];
  malformed = 0;
});

afterEach(() => stop.abort());

test('a listing, then each change; a renewal is none', async () => {
  etcd.write(`${PREFIX}a`, record('a'));
  await begin();
  etcd.write(`${PREFIX}b`, record('b'));
  etcd.write(`${PREFIX}b`, record('b'));
  etcd.write(`${PREFIX}a`, record('a', 1791));
  etcd.erase(`${PREFIX}b`);
  await clock.advanceAsync(1);
  expect(seen).toEqual([['a'], ['a', 'b'], ['a', 'b'], ['a']]);
  expect(mesh.status()).toMatchObject({ state: 'current', nodes: 1 });
});

test('a malformed record is absent, counted once, and named in the status', async () => {
  etcd.write(`${PREFIX}a`, '{}');
  etcd.write(`${PREFIX}b`, record('b'));
  await begin();
  expect(seen).toEqual([['b']]);
  etcd.write(`${PREFIX}a`, '{}');
  etcd.write(`${PREFIX}b`, 'nonsense');
  await clock.advanceAsync(1);
  expect(seen.at(-1)).toEqual([]);
  expect(malformed).toBe(2);
  expect(Object.keys(mesh.status().malformed)).toEqual([`${PREFIX}a`, `${PREFIX}b`]);
  etcd.write(`${PREFIX}b`, record('b'));
  etcd.erase(`${PREFIX}a`);
  await clock.advanceAsync(1);
  expect(seen.at(-1)).toEqual(['b']);
  expect(mesh.status().malformed).toEqual({});
});

test('etcd away: the nodes stay; back with others: they are those', async () => {
  etcd.write(`${PREFIX}a`, record('a'));
  await begin();
  etcd.setAway(true);
  await clock.advanceAsync(60_000);
  expect(mesh.status()).toMatchObject({ state: 'from-memory', nodes: 1, lastError: expect.any(String) });
  etcd.erase(`${PREFIX}a`);
  etcd.write(`${PREFIX}b`, record('b'));
  etcd.setAway(false);
  await clock.advanceAsync(10_000);
  expect(seen).toEqual([['a'], ['b']]);
  expect(mesh.status()).toMatchObject({ state: 'current', nodes: 1 });
});

test('etcd not there from the start: nothing is known, and that is said', async () => {
  etcd.setAway(true);
  await begin();
  expect(mesh.status()).toMatchObject({ state: 'connecting', lastError: expect.any(String) });
  expect(seen).toEqual([]);
});

async function begin(): Promise<void> {
  const options = {
    registry: etcd.registry(),
    prefix: PREFIX,
    log: pino({ level: 'silent' }),
    onChange: (nodes: ReadonlyMap<string, unknown>) => {
      seen.push([...nodes.keys()]);
    },
    onMalformed: () => {
      malformed++;
    },
  };
  mesh = new Mesh(options, stop.signal);
  await clock.advanceAsync(1);
}

function record(name: string, port = 1790): string {
  const at = address('10.0.0.1');
  return encodeNodeRecord({ name, address: at, port, asn: 64_512, routerId: at });
}
