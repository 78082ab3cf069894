// The own record in the registry: written, renewed, restored, contested, taken back; with an etcd that fails at each step.
// etcd is one in memory, time is a fake clock's.

import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeNodeRecord, type NodeRecord } from '../../../../bgpd/mesh/node-record.ts';
import { RECORD_TTL_SECONDS, Registration } from '../../../../bgpd/mesh/registration.ts';
import { address } from '../../../../lib/net/address.ts';
import type { ExitError } from '../../../../lib/run/exit.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { MemoryEtcd, type Operation } from '../../../fakes/memory-registry.ts';

const PREFIX = '/gingham/nodes/';
const KEY = `${PREFIX}node1`;
const RECORD: NodeRecord = {
  name: 'node1',
  address: address('10.0.0.1'),
  port: 1790,
  asn: 64_512,
  routerId: address('10.0.0.1'),
};

let clock: FakeClock;
let etcd: MemoryEtcd;
let stop: AbortController;
let record: NodeRecord;
let conflicts: ExitError[];
let registration: Registration;

beforeEach(() => {
  clock = new FakeClock();
  etcd = new MemoryEtcd(clock);
  stop = new AbortController();
  record = RECORD;
  conflicts = [];
  registration = make();
});

afterEach(() => stop.abort());

test('is written once, on a lease that is renewed: the watchers of other nodes are told nothing', async () => {
  await begin();
  const { revision } = etcd;
  expect(etcd.entry(KEY)).toMatchObject({ value: encodeNodeRecord(RECORD), leaseId: expect.any(String) });
  expect(registration.status()).toEqual({ registered: true, detail: `${KEY} names 10.0.0.1` });
  await clock.advanceAsync(10 * RECORD_TTL_SECONDS * 1000);
  expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
  expect(etcd.leaseIds).toHaveLength(1);
  expect(etcd.revision).toBe(revision);
  expect(etcd.calls.get('put')).toBe(1);
});

test('another record of ours came in its place, of the same words: taken over, on a lease of our own', async () => {
  await begin();
  etcd.write(KEY, encodeNodeRecord(RECORD));
  await clock.advanceAsync(RECORD_TTL_SECONDS * 1000);
  expect(etcd.entry(KEY)?.leaseId).toBeDefined();
  expect(registration.status().registered).toBe(true);
});

test('runs out when the node is gone', async () => {
  await begin();
  stop.abort();
  await clock.advanceAsync(RECORD_TTL_SECONDS * 1000);
  expect(etcd.entry(KEY)).toBeUndefined();
});

test('taken back at the end, and written no more', async () => {
  await begin();
  await registration.withdraw();
  await clock.advanceAsync(60_000);
  expect(etcd.entry(KEY)).toBeUndefined();
});

test('a new address is written as soon as it is said', async () => {
  await begin();
  record = { ...RECORD, address: address('10.0.0.7') };
  registration.hurry();
  await clock.advanceAsync(1);
  expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(record));
});

test('somebody deleted it: written again', async () => {
  await begin();
  etcd.erase(KEY);
  registration.hurry();
  await clock.advanceAsync(1);
  expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
});

test('etcd was away for longer than the lease: written again', async () => {
  await begin();
  etcd.setAway(true);
  await clock.advanceAsync(2 * RECORD_TTL_SECONDS * 1000);
  expect(etcd.entry(KEY)).toBeUndefined();
  etcd.setAway(false);
  await clock.advanceAsync(5_000);
  expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
});

test('the record of a former life of this node is taken over, also with another port or router id', async () => {
  for (const former of [RECORD, { ...RECORD, port: 4 }, { ...RECORD, routerId: address('9.9.9.9') }]) {
    etcd.store(KEY, encodeNodeRecord(former), RECORD_TTL_SECONDS);
    stop = new AbortController();
    registration = make();
    await begin();
    expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
    stop.abort();
  }
});

test('a malformed record under our name is replaced', async () => {
  etcd.write(KEY, 'nonsense');
  await begin();
  expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
});

describe('our name with another address', () => {
  const other = encodeNodeRecord({ ...RECORD, address: address('10.0.0.9') });

  test('of a node that is dead: ours when its lease runs out', async () => {
    etcd.store(KEY, other, RECORD_TTL_SECONDS);
    await begin();
    expect(registration.status()).toMatchObject({ registered: false, detail: expect.stringContaining('10.0.0.9') });
    expect(etcd.entry(KEY)?.value).toBe(other);
    await clock.advanceAsync(RECORD_TTL_SECONDS * 1000 + 2_000);
    expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
    expect(conflicts).toEqual([]);
  });

  test('of a node that is alive: named, and this one gives up', async () => {
    etcd.store(KEY, other, RECORD_TTL_SECONDS);
    await begin();
    await clock.advanceAsync(5_000);
    etcd.renewLease(etcd.entry(KEY)?.leaseId ?? '');
    await clock.advanceAsync(2_000);
    // A new leader of etcd does that too, once.
    expect(conflicts).toEqual([]);
    await clock.advanceAsync(3_000);
    etcd.renewLease(etcd.entry(KEY)?.leaseId ?? '');
    await clock.advanceAsync(2_000);
    expect(conflicts[0]).toMatchObject({ exitCode: 5, message: expect.stringMatching(/node1 is in use.*10\.0\.0\.9/) });
    expect(etcd.entry(KEY)?.value).toBe(other);
  });

  test('written by hand, without a lease: waited for until somebody deletes it', async () => {
    etcd.write(KEY, other);
    await begin();
    await clock.advanceAsync(10 * RECORD_TTL_SECONDS * 1000);
    expect(etcd.entry(KEY)?.value).toBe(other);
    expect(conflicts).toEqual([]);
    etcd.erase(KEY);
    await clock.advanceAsync(2_000);
    expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
  });

  test('that takes the name while we have it: the same', async () => {
    await begin();
    etcd.store(KEY, other, RECORD_TTL_SECONDS);
    registration.hurry();
    await clock.advanceAsync(1_000);
    expect(registration.status().registered).toBe(false);
    etcd.store(KEY, other, RECORD_TTL_SECONDS);
    await clock.advanceAsync(2_000);
    expect(conflicts).toHaveLength(1);
  });
});

describe('each operation may fail once', () => {
  const FAULTS: readonly [Operation, 'unavailable' | 'refused' | 'lost-answer'][] = [
    ['get', 'unavailable'],
    ['put', 'unavailable'],
    ['put', 'lost-answer'],
    ['put', 'refused'],
    ['renew', 'unavailable'],
    ['renew', 'lost-answer'],
    ['renew', 'refused'],
  ];

  test.each(FAULTS)('%s %s', async (operation, how) => {
    etcd.failNext({ operation, how });
    await begin();
    await clock.advanceAsync(operation === 'renew' ? 6_000 : 1_000);
    expect(etcd.faultsLeft).toBe(0);
    expect(registration.status().registered).toBe(true);
    await clock.advanceAsync(60_000);
    expect(etcd.entry(KEY)?.value).toBe(encodeNodeRecord(RECORD));
  });
});

function make(): Registration {
  return new Registration({
    registry: etcd.registry(),
    prefix: PREFIX,
    clock,
    random: Math.random,
    log: pino({ level: 'silent' }),
    record: () => record,
    conflict: (error) => conflicts.push(error),
  });
}

async function begin(): Promise<void> {
  void registration.run(stop.signal);
  await clock.advanceAsync(1);
}
