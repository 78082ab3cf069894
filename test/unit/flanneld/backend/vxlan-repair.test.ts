// How the kernel VXLAN backend mends what others break, on a fake kernel: devices, addresses, entries.
// What it writes by itself and what it refuses is in vxlan-backend.test.ts.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VxlanBackend } from '../../../../flanneld/backend/vxlan-backend.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { type Fixture, leaseOf, makeFixture } from './backend-fixture.ts';
import { entries, startWith, TWO_PEERS, VXLAN } from './vxlan-fixture.ts';

describe('VxlanBackend mends', () => {
  let fixture: Fixture;
  let backend: VxlanBackend;

  beforeEach(() => {
    fixture = makeFixture();
    backend = new VxlanBackend(VXLAN, fixture.context);
  });

  afterEach(async () => {
    await backend.stop();
    fixture.kernel.assertFailuresConsumed();
  });

  const settle = (): Promise<void> => fixture.clock.advanceAsync(0);

  test('entries of a run before, and of whoever else wrote on our device, are removed', async () => {
    await startWith(backend, fixture);
    const linkIndex = fixture.kernel.link('flannel.1')?.index ?? 0;
    await backend.stop();
    fixture.kernel.foreign(
      { op: 'put', kind: 'fdb', fdb: { linkIndex, mac: mac('02:00:00:00:00:99'), destination: address('192.0.2.99') } },
      {
        op: 'put',
        kind: 'neighbour',
        neighbour: { linkIndex, address: address('10.5.99.0'), mac: mac('02:00:00:00:00:99') },
      },
      { op: 'put', kind: 'address', address: { linkIndex, address: address('10.5.99.0'), prefixLength: 32 } },
    );
    backend = new VxlanBackend(VXLAN, fixture.context);
    await startWith(backend, fixture, 2, 3);
    expect(entries(fixture)).toEqual(TWO_PEERS);
    expect(fixture.kernel.addresses().map((entry) => entry.address)).not.toContain('10.5.99.0');
    expect(fixture.kernel.link('flannel.1')?.index).toBe(linkIndex);
  });

  test('entries of a run before stay until the peers are known, and those of peers are not touched', async () => {
    await startWith(backend, fixture, 2, 3);
    await backend.stop();
    fixture.kernel.clearRecords();
    backend = new VxlanBackend(VXLAN, fixture.context);
    await backend.start(leaseOf(1));
    await settle();
    expect(entries(fixture)).toEqual(TWO_PEERS);
    backend.changePeers([leaseOf(2)], []);
    await settle();
    expect(entries(fixture)).toEqual({ neighbours: TWO_PEERS.neighbours.slice(0, 1), fdb: TWO_PEERS.fdb.slice(0, 1) });
    const touched = fixture.kernel.writes.filter(({ kind }) => kind === 'neighbour' || kind === 'fdb');
    expect(touched.map(({ op }) => op)).toEqual(['delete', 'delete']);
  });

  test('deleted by hand it is back with every peer, without a second having passed', async () => {
    await startWith(backend, fixture, 2, 3);
    fixture.kernel.foreign({ op: 'delete', kind: 'link', name: 'flannel.1' });
    await fixture.clock.advanceAsync(200);
    expect(fixture.kernel.link('flannel.1')).toMatchObject({ mac: '02:00:00:00:00:01', alias: 'gingham', up: true });
    expect(entries(fixture)).toEqual(TWO_PEERS);
    expect(backend.problem()).toBeUndefined();
  });

  test('its routes stay on offer while it is away', async () => {
    await startWith(backend, fixture, 2);
    fixture.kernel.failNext('put link', 'ENOMEM', { times: 3 });
    fixture.kernel.foreign({ op: 'delete', kind: 'link', name: 'flannel.1' });
    await fixture.clock.advanceAsync(25);
    expect(backend.problem()).toContain('ENOMEM');
    expect(backend.peers()).toMatchObject([{ programmed: false, routes: [{ subnet: '10.5.2.0/24' }] }]);
    await fixture.clock.advanceAsync(1_000);
    expect(backend.problem()).toBeUndefined();
  });

  test.each([
    ['the state down', { name: 'flannel.1', up: false }],
    ['another MAC', { name: 'flannel.1', mac: mac('02:00:00:00:00:77') }],
    ['another MTU', { name: 'flannel.1', mtuBytes: 900 }],
    ['another alias', { name: 'flannel.1', alias: 'mine' }],
  ])('is put right when it is given %s', async (_, link) => {
    await startWith(backend, fixture, 2, 3);
    const index = fixture.kernel.link('flannel.1')?.index;
    fixture.kernel.foreign({ op: 'put', kind: 'link', link });
    await fixture.clock.advanceAsync(200);
    expect(fixture.kernel.link('flannel.1')).toMatchObject({
      index,
      up: true,
      mac: '02:00:00:00:00:01',
      mtuBytes: 1450,
      alias: 'gingham',
    });
    expect(entries(fixture)).toEqual(TWO_PEERS);
  });

  test('entries that are deleted or changed by hand are put right at once', async () => {
    await startWith(backend, fixture, 2, 3);
    const linkIndex = fixture.kernel.link('flannel.1')?.index ?? 0;
    fixture.kernel.foreign(
      {
        op: 'delete',
        kind: 'neighbour',
        neighbour: { linkIndex, address: address('10.5.2.0'), mac: mac('02:00:00:00:00:02') },
      },
      { op: 'put', kind: 'fdb', fdb: { linkIndex, mac: mac('02:00:00:00:00:03'), destination: address('192.0.2.66') } },
      { op: 'delete', kind: 'address', address: { linkIndex, address: address('10.5.1.0'), prefixLength: 32 } },
    );
    await settle();
    const { neighbours, fdb } = entries(fixture);
    expect({ neighbours: neighbours.sort(), fdb: fdb.sort() }).toEqual(TWO_PEERS);
    expect(fixture.kernel.addresses()).toContainEqual({ linkIndex, address: '10.5.1.0', prefixLength: 32 });
  });

  test('what happened while notifications were lost is found', async () => {
    await startWith(backend, fixture, 2, 3);
    fixture.kernel.loseNotifications(() => {
      fixture.kernel.foreign({ op: 'delete', kind: 'link', name: 'flannel.1' });
    });
    await fixture.clock.advanceAsync(200);
    expect(entries(fixture)).toEqual(TWO_PEERS);
  });

  test('an entry that the kernel refuses is tried again, and counts as not programmed until then', async () => {
    await backend.start(leaseOf(1));
    fixture.kernel.failNext('put neighbour', 'ENOBUFS', { times: 3 });
    backend.setPeers([leaseOf(2)]);
    await settle();
    expect(backend.peers()).toMatchObject([{ programmed: false, routes: [] }]);
    await fixture.clock.advanceAsync(1_000);
    expect(backend.peers()).toMatchObject([{ programmed: true, routes: [{}] }]);
  });

  test('somebody who keeps writing something else is answered at a walking pace', async () => {
    await startWith(backend, fixture, 2);
    fixture.kernel.clearRecords();
    for (let i = 0; i < 1_000; i++) {
      fixture.kernel.foreign({ op: 'put', kind: 'link', link: { name: 'flannel.1', mtuBytes: 1_000 } });
      await fixture.clock.advanceAsync(1);
    }
    expect(fixture.kernel.writes.length).toBeLessThan(30);
    await fixture.clock.advanceAsync(1_000);
    expect(fixture.kernel.link('flannel.1')?.mtuBytes).toBe(1450);
  });

  test('a device that differs in what cannot be changed is made again', async () => {
    fixture.kernel.foreign({
      op: 'put',
      kind: 'link',
      link: {
        name: 'flannel.1',
        alias: 'gingham',
        create: { type: 'vxlan', vxlan: { vni: 1, port: 4789, learning: true, gbp: false } },
      },
    });
    await startWith(backend, fixture, 2);
    expect(fixture.kernel.link('flannel.1')?.vxlan).toMatchObject({ port: 8472, learning: false, local: '192.0.2.1' });
  });

  test('a device of ours that a crash left without its alias is taken over', async () => {
    await startWith(backend, fixture);
    const { kernel } = fixture;
    await backend.stop();
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'flannel.1', alias: '' } });
    backend = new VxlanBackend(VXLAN, fixture.context);
    await startWith(backend, fixture, 2);
    expect(kernel.link('flannel.1')?.alias).toBe('gingham');
  });

  test('a device of ours that was renamed is replaced', async () => {
    const { kernel } = fixture;
    const vxlan = { vni: 1, port: 8472, learning: false, gbp: false };
    kernel.foreign({
      op: 'put',
      kind: 'link',
      link: { name: 'mine0', alias: 'gingham', create: { type: 'vxlan', vxlan } },
    });
    await startWith(backend, fixture, 2);
    expect(kernel.link('mine0')).toBeUndefined();
    expect(kernel.link('flannel.1')?.alias).toBe('gingham');
  });
});
