// What every Kernel must do, run on the fake and on the real one. Links, addresses, neighbours, FDB and events are here;
// routes and nexthop objects have contracts of their own beside it.
//
// Each test has a kernel of its own that holds nothing but a loopback device that is up.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type FdbEntry,
  type Kernel,
  type KernelChange,
  KernelError,
  type KernelEvent,
  type KernelKind,
  type Link,
  type LinkAddress,
  type LinkSpec,
  type Neighbour,
} from '../../lib/kernel/kernel.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import { eventually } from '../eventually.ts';

/** A kernel in a world of its own. */
export interface KernelRig {
  readonly kernel: Kernel;
  /** Adds a device that is up and has carrier, by other means than the Kernel interface; its index. */
  addCard(name: string): Promise<number>;
  /** Ends that world; the kernel may be closed already. */
  dispose(): Promise<void>;
}

const PEER_MAC = mac('0e:00:00:00:00:02');
const OTHER_MAC = mac('0e:00:00:00:00:03');
const UNDERLAY = address('192.168.9.1');

export function kernelContract(name: string, open: () => Promise<KernelRig>): void {
  describe(`${name} is a Kernel`, () => {
    let rig: KernelRig;
    let kernel: Kernel;
    let card: number;

    beforeEach(async () => {
      rig = await open();
      kernel = rig.kernel;
      card = await rig.addCard('card0');
    });

    afterEach(() => rig.dispose());

    async function done(...changes: KernelChange[]): Promise<void> {
      expect(await kernel.apply(changes)).toEqual(changes.map(() => undefined));
    }

    async function refused(change: KernelChange): Promise<string | undefined> {
      const [failure] = await kernel.apply([change]);
      expect(failure?.what).toMatch(new RegExp(`^${change.op} ${change.kind} `));
      return failure?.code;
    }

    async function linkNamed(linkName: string): Promise<Link | undefined> {
      return (await kernel.list('link')).find((link) => link.name === linkName);
    }

    async function putVxlan(more: Partial<LinkSpec> = {}): Promise<Link> {
      const vxlan = { vni: 1, local: UNDERLAY, port: 8472, parentIndex: card, learning: false, gbp: true };
      await done({ op: 'put', kind: 'link', link: { name: 'flannel.1', create: { type: 'vxlan', vxlan }, ...more } });
      return (await linkNamed('flannel.1')) as Link;
    }

    /** Events from now on; `ofLink` are those about one link. */
    async function listen(...kinds: KernelKind[]): Promise<{ events: KernelEvent[]; end: () => void }> {
      const events: KernelEvent[] = [];
      const end = await kernel.subscribe(kinds, (event) => events.push(event));
      return { events, end };
    }

    describe('links', () => {
      test('the loopback device is there, up and running', async () => {
        expect(await linkNamed('lo')).toMatchObject({ index: 1, up: true, running: true, mtuBytes: 65536 });
      });

      test('a VXLAN device is made with everything that its spec names', async () => {
        const link = await putVxlan({ mac: PEER_MAC, mtuBytes: 1450, up: true, alias: 'gingham' });
        expect(link).toEqual({
          index: link.index,
          name: 'flannel.1',
          type: 'vxlan',
          mac: PEER_MAC,
          mtuBytes: 1450,
          up: true,
          running: true,
          alias: 'gingham',
          vxlan: { vni: 1, local: UNDERLAY, port: 8472, parentIndex: card, learning: false, gbp: true },
        });
      });

      test('a VXLAN device may have an IPv6 underlay, learn, and do without GBP and parent', async () => {
        const vxlan = { vni: 77, local: address('fd00:9::1'), port: 4789, learning: true, gbp: false };
        await done({ op: 'put', kind: 'link', link: { name: 'vx6', create: { type: 'vxlan', vxlan } } });
        expect((await linkNamed('vx6'))?.vxlan).toEqual(vxlan);
      });

      test('a link that exists is changed in what the spec names, and not made again', async () => {
        const before = await putVxlan({ mac: PEER_MAC, mtuBytes: 1450 });
        expect(before.up).toBe(false);
        const after = await putVxlan({ mtuBytes: 1400, up: true });
        expect(after).toMatchObject({ index: before.index, mac: PEER_MAC, mtuBytes: 1400, up: true });
        await done({ op: 'put', kind: 'link', link: { name: 'flannel.1', mac: OTHER_MAC, alias: 'x', up: false } });
        expect(await linkNamed('flannel.1')).toMatchObject({ mac: OTHER_MAC, mtuBytes: 1400, alias: 'x', up: false });
      });

      test('a bridge is made', async () => {
        await done({ op: 'put', kind: 'link', link: { name: 'cni0', create: { type: 'bridge' }, mac: PEER_MAC } });
        expect(await linkNamed('cni0')).toMatchObject({ type: 'bridge', mac: PEER_MAC, up: false });
      });

      test('one that does not exist and is not to be made is refused', async () => {
        expect(await refused({ op: 'put', kind: 'link', link: { name: 'nope', up: true } })).toBe('ENODEV');
      });

      test('a name of 16 bytes, and a second device with the same VNI and port, are refused', async () => {
        const link = { name: 'x'.repeat(16), create: { type: 'bridge' } } as const;
        expect(await refused({ op: 'put', kind: 'link', link })).toBe('ERANGE');
        const { vxlan } = await putVxlan();
        if (vxlan === undefined) throw new Error('not a VXLAN device');
        const twin: KernelChange = { op: 'put', kind: 'link', link: { name: 'vx', create: { type: 'vxlan', vxlan } } };
        expect(await refused(twin)).toBe('EEXIST');
      });

      test('deleting is done once and harmless twice', async () => {
        await putVxlan();
        await done({ op: 'delete', kind: 'link', name: 'flannel.1' });
        expect(await linkNamed('flannel.1')).toBeUndefined();
        await done({ op: 'delete', kind: 'link', name: 'flannel.1' });
      });
    });

    describe('addresses', () => {
      const addresses: readonly Omit<LinkAddress, 'linkIndex'>[] = [
        { address: address('10.5.1.0'), prefixLength: 32 },
        { address: address('192.168.9.1'), prefixLength: 24 },
        { address: address('fd00:9::1'), prefixLength: 64 },
        { address: address('fd00:9:0:1::'), prefixLength: 128 },
      ];

      test.each(addresses)('$address/$prefixLength is put, put again, deleted, deleted again', async (value) => {
        const mine = { linkIndex: card, ...value };
        await done({ op: 'put', kind: 'address', address: mine });
        await done({ op: 'put', kind: 'address', address: mine });
        expect(await kernel.list('address', { linkIndex: card })).toContainEqual(mine);
        await done({ op: 'delete', kind: 'address', address: mine });
        expect(await kernel.list('address')).not.toContainEqual(mine);
        await done({ op: 'delete', kind: 'address', address: mine });
      });

      test('a link that does not exist takes none, and has none to delete', async () => {
        const nowhere = { linkIndex: 9999, address: UNDERLAY, prefixLength: 24 };
        expect(await refused({ op: 'put', kind: 'address', address: nowhere })).toBe('ENODEV');
        await done({ op: 'delete', kind: 'address', address: nowhere });
        expect(await kernel.list('address', { linkIndex: 9999 })).toEqual([]);
      });

      test('one address with two prefix lengths: IPv4 takes it, IPv6 refuses it', async () => {
        for (const [text, shorter, longer] of [['10.5.1.1', 24, 32] as const, ['fd00:5:1::1', 64, 128] as const]) {
          const first = { linkIndex: card, address: address(text), prefixLength: shorter };
          const second: KernelChange = { op: 'put', kind: 'address', address: { ...first, prefixLength: longer } };
          await done({ op: 'put', kind: 'address', address: first });
          const [failure] = await kernel.apply([second]);
          expect(failure?.code).toBe(shorter === 24 ? undefined : 'EEXIST');
          expect(await kernel.list('address', { linkIndex: card })).toContainEqual(first);
        }
      });

      test('a listing is narrowed to a link and a family', async () => {
        const other = await rig.addCard('card1');
        const mine = { linkIndex: card, address: UNDERLAY, prefixLength: 24 };
        const theirs = { linkIndex: other, address: address('192.168.8.1'), prefixLength: 24 };
        await done({ op: 'put', kind: 'address', address: mine }, { op: 'put', kind: 'address', address: theirs });
        expect(await kernel.list('address', { family: 4, linkIndex: card })).toEqual([mine]);
      });

      test('a subnet brings its route, which goes with it', async () => {
        const mine = { linkIndex: card, address: UNDERLAY, prefixLength: 24 };
        await done({ op: 'put', kind: 'address', address: mine });
        const connected = await kernel.list('route', { family: 4, table: 254, linkIndex: card });
        expect(connected).toMatchObject([{ prefix: '192.168.9.0/24', protocol: 2, nextHops: [{ linkIndex: card }] }]);
        await done({ op: 'delete', kind: 'address', address: mine });
        expect(await kernel.list('route', { family: 4, table: 254 })).toEqual([]);
      });
    });

    describe('neighbours', () => {
      test.each(['10.5.2.0', 'fd00:5:2::'])('%s is put, replaced, deleted, deleted again', async (text) => {
        const first: Neighbour = { linkIndex: card, address: address(text), mac: PEER_MAC };
        const second = { ...first, mac: OTHER_MAC };
        await done({ op: 'put', kind: 'neighbour', neighbour: first });
        expect(await kernel.list('neighbour')).toEqual([first]);
        await done({ op: 'put', kind: 'neighbour', neighbour: second });
        expect(await kernel.list('neighbour', { linkIndex: card })).toEqual([second]);
        expect(await kernel.list('neighbour', { linkIndex: 1 })).toEqual([]);
        await done({ op: 'delete', kind: 'neighbour', neighbour: first });
        expect(await kernel.list('neighbour')).toEqual([]);
        await done({ op: 'delete', kind: 'neighbour', neighbour: first });
      });

      test('a link that does not exist takes none, and has none to delete', async () => {
        const neighbour = { linkIndex: 9999, address: UNDERLAY, mac: PEER_MAC };
        expect(await refused({ op: 'put', kind: 'neighbour', neighbour })).toBe('ENODEV');
        await done({ op: 'delete', kind: 'neighbour', neighbour });
      });
    });

    describe('FDB entries', () => {
      test('one is put, replaced, deleted, deleted again', async () => {
        const { index } = await putVxlan();
        const first: FdbEntry = { linkIndex: index, mac: PEER_MAC, destination: address('192.168.9.2') };
        const second = { ...first, destination: address('192.168.9.3') };
        await done({ op: 'put', kind: 'fdb', fdb: first });
        expect(await kernel.list('fdb')).toEqual([first]);
        await done({ op: 'put', kind: 'fdb', fdb: second });
        expect(await kernel.list('fdb', { linkIndex: index })).toEqual([second]);
        expect(await kernel.list('fdb', { linkIndex: card })).toEqual([]);
        await done({ op: 'delete', kind: 'fdb', fdb: first });
        expect(await kernel.list('fdb')).toEqual([]);
        await done({ op: 'delete', kind: 'fdb', fdb: first });
      });

      test('the all-zeros MAC has any number of destinations', async () => {
        const { index } = await putVxlan();
        const [a, b] = ['192.168.9.2', '192.168.9.3'].map(
          (to): FdbEntry => ({ linkIndex: index, mac: mac('00:00:00:00:00:00'), destination: address(to) }),
        ) as [FdbEntry, FdbEntry];
        await done(
          { op: 'put', kind: 'fdb', fdb: a },
          { op: 'put', kind: 'fdb', fdb: b },
          { op: 'put', kind: 'fdb', fdb: b },
        );
        expect(await kernel.list('fdb')).toEqual(expect.arrayContaining([a, b]));
        await done({ op: 'delete', kind: 'fdb', fdb: a });
        expect(await kernel.list('fdb')).toEqual([b]);
      });

      test('a link that does not exist takes none', async () => {
        const fdb = { linkIndex: 9999, mac: PEER_MAC, destination: UNDERLAY };
        expect(await refused({ op: 'put', kind: 'fdb', fdb })).toBe('ENODEV');
        await done({ op: 'delete', kind: 'fdb', fdb });
      });
    });

    describe('a link that goes down', () => {
      test('loses its neighbours and IPv6 addresses; keeps IPv4 addresses and FDB entries', async () => {
        const { index } = await putVxlan({ up: true });
        const v4 = { linkIndex: index, address: address('10.5.1.0'), prefixLength: 32 };
        const v6 = { linkIndex: index, address: address('fd00:5:1::'), prefixLength: 128 };
        const fdb = { linkIndex: index, mac: PEER_MAC, destination: address('192.168.9.2') };
        await done(
          { op: 'put', kind: 'address', address: v4 },
          { op: 'put', kind: 'address', address: v6 },
          {
            op: 'put',
            kind: 'neighbour',
            neighbour: { linkIndex: index, address: address('10.5.2.0'), mac: PEER_MAC },
          },
          { op: 'put', kind: 'fdb', fdb },
          { op: 'put', kind: 'link', link: { name: 'flannel.1', up: false } },
        );
        expect(await kernel.list('address', { linkIndex: index })).toEqual([v4]);
        expect(await kernel.list('neighbour')).toEqual([]);
        expect(await kernel.list('fdb')).toEqual([fdb]);
        await done({ op: 'delete', kind: 'link', name: 'flannel.1' });
        expect(await kernel.list('address', { linkIndex: index })).toEqual([]);
        expect(await kernel.list('fdb')).toEqual([]);
      });
    });

    describe('events', () => {
      test('tell of every kind that was subscribed to, by whoever it was changed', async () => {
        const { events } = await listen('link', 'address', 'neighbour', 'fdb');
        const { index } = await putVxlan({ up: true });
        const mine = { linkIndex: index, address: address('10.5.1.0'), prefixLength: 32 };
        const neighbour = { linkIndex: index, address: address('10.5.2.0'), mac: PEER_MAC };
        const fdb = { linkIndex: index, mac: PEER_MAC, destination: address('192.168.9.2') };
        await done(
          { op: 'put', kind: 'address', address: mine },
          { op: 'put', kind: 'neighbour', neighbour },
          { op: 'put', kind: 'fdb', fdb },
        );
        const put = { type: 'put' } as const;
        await eventually('all puts are told', () => {
          expect(events).toContainEqual({ ...put, kind: 'address', object: mine });
          expect(events).toContainEqual({ ...put, kind: 'neighbour', object: neighbour });
          expect(events).toContainEqual({ ...put, kind: 'fdb', object: fdb });
          const link = events.findLast((event) => event.type === 'put' && event.kind === 'link');
          expect(link).toMatchObject({ object: { index, name: 'flannel.1', up: true, type: 'vxlan' } });
          return true;
        });
        const later = await listen('link', 'address', 'fdb');
        await done({ op: 'delete', kind: 'fdb', fdb }, { op: 'delete', kind: 'link', name: 'flannel.1' });
        await eventually('all deletions are told', () => {
          expect(later.events).toContainEqual({ type: 'delete', kind: 'fdb', object: fdb });
          expect(later.events).toContainEqual({ type: 'delete', kind: 'address', object: mine });
          const gone = later.events.find((event) => event.type === 'delete' && event.kind === 'link');
          expect(gone).toMatchObject({ object: { index, name: 'flannel.1' } });
          return true;
        });
        expect(later.events.filter((event) => event.type !== 'resync' && event.kind === 'neighbour')).toEqual([]);
      });

      test('tell of a port that leaves its bridge, but not as a link that went', async () => {
        const { events } = await listen('link');
        await done({ op: 'put', kind: 'link', link: { name: 'cni0', create: { type: 'bridge' } } });
        await done({ op: 'delete', kind: 'link', name: 'cni0' });
        const gone = await eventually('the bridge is gone', () =>
          events.find((event) => event.type === 'delete' && event.kind === 'link'),
        );
        expect(gone).toMatchObject({ object: { name: 'cni0' } });
      });

      test('end with the subscription', async () => {
        const ended = await listen('address');
        const other = await listen('address');
        ended.end();
        const mine = { linkIndex: card, address: UNDERLAY, prefixLength: 32 };
        await done({ op: 'put', kind: 'address', address: mine });
        await eventually('the other one is told', () => other.events.length > 0);
        expect(ended.events).toEqual([]);
      });
    });

    describe('after close', () => {
      test('every call is refused, and no event comes', async () => {
        const { events } = await listen('link');
        const startedAt = performance.now();
        await kernel.close();
        expect(performance.now() - startedAt).toBeLessThan(200);
        await rig.addCard('card1');
        await expect(kernel.list('link')).rejects.toThrow(KernelError);
        await expect(kernel.apply([{ op: 'delete', kind: 'link', name: 'x' }])).rejects.toThrow(KernelError);
        await expect(kernel.subscribe(['link'], () => undefined)).rejects.toMatchObject({ code: 'socket' });
        await expect(kernel.routeTo(UNDERLAY)).rejects.toThrow('closed');
        await kernel.close();
        expect(events).toEqual([]);
      });
    });
  });
}
