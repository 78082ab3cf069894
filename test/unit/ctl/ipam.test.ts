// What `gingham ipam check` finds: addresses without an interface, and pods' interfaces without an address.
// The real files and the real kernel are in the CNI plugin's own tests.

import { expect, test } from 'vitest';
import type { Allocation } from '../../../cni/address-store.ts';
import { hostInterfaceName } from '../../../cni/pod-names.ts';
import { findProblems } from '../../../ctl/ipam.ts';
import type { Link } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';

const POD: Allocation = {
  address: address('10.5.7.3'),
  network: 'net',
  containerId: 'web',
  ifname: 'eth0',
  sinceUnixMs: 0,
};

function link(name: string, alias?: string): Link {
  return { index: 7, name, mtuBytes: 1450, up: true, running: true, ...(alias !== undefined && { alias }) };
}

test('nothing where each has the other', () => {
  const own = link(hostInterfaceName('net', POD), 'gingham:web');
  expect(findProblems([POD], [own, link('eth0'), link('cni0', 'gingham')])).toEqual([]);
});

test('an address whose interface is gone, an interface whose address is', () => {
  expect(findProblems([POD], [])).toEqual([
    '10.5.7.3: container web (eth0, network net) has no interface on this node',
  ]);
  expect(findProblems([], [link('gh1', 'gingham:web')])).toEqual([
    "gh1: a pod's interface (gingham:web) that has no address",
  ]);
});
