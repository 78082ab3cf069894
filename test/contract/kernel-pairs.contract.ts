// What every Kernel must do with veth pairs and ports of a bridge, and with one link by its name; run on the fake and on the
// real one. A pair whose other end is in another namespace is for the real one alone: the CNI plugin's tests have it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Kernel, KernelChange, Link, LinkSpec } from '../../lib/kernel/kernel.ts';
import { mac } from '../../lib/net/mac.ts';
import type { KernelRig } from './kernel.contract.ts';

const HERE = mac('0e:00:00:00:00:02');
const THERE = mac('0e:00:00:00:00:03');

export function kernelPairsContract(name: string, open: () => Promise<KernelRig>): void {
  describe(`${name} is a Kernel with veth pairs`, () => {
    let rig: KernelRig;
    let kernel: Kernel;

    beforeEach(async () => {
      rig = await open();
      kernel = rig.kernel;
    });

    afterEach(() => rig.dispose());

    async function done(...changes: KernelChange[]): Promise<void> {
      expect(await kernel.apply(changes)).toEqual(changes.map(() => undefined));
    }

    async function linkNamed(linkName: string): Promise<Link | undefined> {
      return (await kernel.list('link', { linkName }))[0];
    }

    test('a pair is made: both ends with the MTU, each with its MAC; one end takes the other along', async () => {
      const peer = { name: 'eth0', mac: THERE };
      const link: LinkSpec = { name: 'v0', create: { type: 'veth', peer }, mac: HERE, mtuBytes: 1400 };
      await done({ op: 'put', kind: 'link', link });
      expect(await linkNamed('v0')).toMatchObject({ type: 'veth', mac: HERE, mtuBytes: 1400, up: false });
      expect(await linkNamed('eth0')).toMatchObject({ type: 'veth', mac: THERE, mtuBytes: 1400, up: false });
      await done({ op: 'delete', kind: 'link', name: 'eth0' });
      expect(await linkNamed('v0')).toBeUndefined();
    });

    test('an end becomes the port of a bridge, with hairpin mode', async () => {
      await done({ op: 'put', kind: 'link', link: { name: 'br0', create: { type: 'bridge' } } });
      const bridge = await linkNamed('br0');
      const spec: LinkSpec = { name: 'v0', create: { type: 'veth', peer: { name: 'v1' } }, hairpin: true };
      await done({ op: 'put', kind: 'link', link: { ...spec, masterIndex: bridge?.index ?? 0 } });
      expect((await linkNamed('v0'))?.masterIndex).toBe(bridge?.index);
    });

    test('one link is looked up by its name; one that is not there is no error', async () => {
      expect((await kernel.list('link', { linkName: 'lo' })).map(({ name: found }) => found)).toEqual(['lo']);
      expect(await kernel.list('link', { linkName: 'nope' })).toEqual([]);
    });
  });
}
