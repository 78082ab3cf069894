// The registry contract on the fake, and on a real etcd that is started for it.
// What only a real etcd can be asked (hanging members, authentication, TLS) is in test/unit/lib/registry.

import { afterAll, beforeAll } from 'vitest';
import { openEtcdRegistry } from '../../lib/registry/etcd-registry.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { MemoryEtcd } from '../fakes/memory-registry.ts';
import { EtcdProcess } from '../topology/etcd-process.ts';
import { registryContract } from './registry.contract.ts';

const clock = new FakeClock();
const memory = new MemoryEtcd(clock);
let etcd: EtcdProcess;

beforeAll(async () => {
  etcd = await EtcdProcess.start();
});

afterAll(() => etcd.stop());

registryContract('MemoryRegistry', {
  open: async () => memory.registry(),
  write: async (key, value) => void memory.write(key, value),
  erase: async (key) => memory.erase(key),
  compact: async () => memory.compact(),
  pass: (seconds) => clock.advanceAsync(seconds * 1000),
  leaseIds: async () => memory.leaseIds,
});

registryContract('EtcdRegistry', {
  open: () => openEtcdRegistry({ endpoints: [etcd.endpoint] }),
  write: async (key, value) => void (await etcd.ctl('put', key, value)),
  erase: async (key) => void (await etcd.ctl('del', key)),
  async compact() {
    const status: unknown = JSON.parse(await etcd.ctl('endpoint', 'status', '--write-out=json'));
    const [{ Status }] = status as [{ Status: { header: { revision: number } } }];
    await etcd.ctl('compact', String(Status.header.revision));
  },
  // Real seconds pass by themselves: the contract polls.
  pass: async () => undefined,
  async leaseIds() {
    // Ids are beyond what a JSON number keeps exactly.
    const json = await etcd.ctl('lease', 'list', '--write-out=json');
    return Array.from(json.matchAll(/"id":(\d+)/g), ([, id]) => id ?? '');
  },
});
