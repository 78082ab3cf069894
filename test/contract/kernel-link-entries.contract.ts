// What every Kernel must do with the marks and keys of neighbours and addresses, run on the fake and on the real one. The
// plain life of both is in kernel.contract.ts.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LinkAddress, type Neighbour, PROTOCOL_GINGHAM } from '../../lib/kernel/kernel.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import type { KernelRig } from './kernel.contract.ts';

const MAC = mac('0e:00:00:00:00:02');
const OTHER_MAC = mac('0e:00:00:00:00:03');

export function kernelLinkEntriesContract(name: string, open: () => Promise<KernelRig>): void {
  describe(`${name} is a Kernel with marked neighbours and addresses`, () => {
    let rig: KernelRig;
    let linkIndex: number;

    beforeEach(async () => {
      rig = await open();
      linkIndex = await rig.addCard('card0');
    });
    afterEach(() => rig.dispose());

    const putAddress = async (value: LinkAddress): Promise<string | undefined> =>
      (await rig.kernel.apply([{ op: 'put', kind: 'address', address: value }]))[0]?.code;
    const putNeighbour = async (value: Neighbour): Promise<string | undefined> =>
      (await rig.kernel.apply([{ op: 'put', kind: 'neighbour', neighbour: value }]))[0]?.code;

    test.each(['10.5.1.9', 'fd00:5:1::9'])('neighbour %s keeps its mark when another gives none', async (text) => {
      const ours = { linkIndex, address: address(text), mac: MAC, protocol: PROTOCOL_GINGHAM };
      const { protocol: _, ...theirs } = { ...ours, mac: OTHER_MAC };
      expect(await putNeighbour(ours)).toBeUndefined();
      expect(await rig.kernel.list('neighbour')).toEqual([ours]);
      expect(await putNeighbour(theirs)).toBeUndefined();
      expect(await rig.kernel.list('neighbour')).toEqual([{ ...ours, mac: OTHER_MAC }]);
      expect(await putNeighbour({ ...theirs, protocol: 4 })).toBeUndefined();
      expect(await rig.kernel.list('neighbour')).toEqual([{ ...theirs, protocol: 4 }]);
    });

    test('an address of each family keeps its mark, and one of IPv4 its scope', async () => {
      const marked = { linkIndex, protocol: PROTOCOL_GINGHAM } as const;
      const four = { ...marked, address: address('169.254.1.1'), prefixLength: 32, scope: 'host' } as const;
      const six = { ...marked, address: address('fe80::1'), prefixLength: 128 };
      expect(await putAddress(four)).toBeUndefined();
      expect(await putAddress(six)).toBeUndefined();
      expect(await rig.kernel.list('address', { linkIndex })).toEqual([four, six]);
      // Put by another it is there already, and stays marked.
      const { protocol: _, ...theirs } = four;
      expect(await putAddress(theirs)).toBeUndefined();
      expect(await rig.kernel.list('address', { linkIndex, family: 4 })).toEqual([four]);
    });

    test('an IPv4 address with another end is another address; deleting one leaves the other', async () => {
      const plain: LinkAddress = { linkIndex, address: address('10.5.1.1'), prefixLength: 32 };
      const pointed: LinkAddress = { ...plain, peer: address('10.5.9.9') };
      expect(await putAddress(plain)).toBeUndefined();
      expect(await putAddress(pointed)).toBeUndefined();
      const both = await rig.kernel.list('address', { linkIndex });
      expect(both).toHaveLength(2);
      expect(both).toEqual(expect.arrayContaining([plain, pointed]));
      await rig.kernel.apply([{ op: 'delete', kind: 'address', address: plain }]);
      expect(await rig.kernel.list('address', { linkIndex })).toEqual([pointed]);
    });
  });
}
