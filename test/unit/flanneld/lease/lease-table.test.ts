// What an event changes about the peers: values are compared, the own lease is left out, faults count as absent.
// The events are those of a watch: listings, puts, deletions.

import { describe, expect, test } from 'vitest';
import { encodeLease, leaseKey } from '../../../../flanneld/lease/lease.ts';
import { LeaseTable } from '../../../../flanneld/lease/lease-table.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import type { Entry } from '../../../../lib/registry/registry.ts';

let revision = 1n;

function entry(index: number, nodeName: string, publicIp = `192.0.2.${index}`): Entry {
  const value = encodeLease({ publicIp: address(publicIp), backendType: 'host-gw', nodeName });
  return { key: leaseKey('/net', prefix(`10.5.${index}.0/24`)), value, modRevision: revision++ };
}

function table(): LeaseTable {
  return new LeaseTable(({ nodeName }) => nodeName === 'me');
}

describe('LeaseTable', () => {
  test('a first listing gives every peer, and not this node', () => {
    const peers = table();
    const delta = peers.replace([entry(1, 'me'), entry(2, 'two'), entry(3, 'three')]);
    expect(delta.put.map(({ nodeName }) => nodeName)).toEqual(['two', 'three']);
    expect(delta).toMatchObject({ removed: [], faults: [] });
  });

  test('a second listing of the same leases is no change: not for peers that renewed, and not for this node', () => {
    const peers = table();
    peers.replace([entry(1, 'me'), entry(2, 'two')]);
    expect(peers.replace([entry(1, 'me'), entry(2, 'two')])).toEqual({ put: [], removed: [], faults: [] });
    expect(peers.put(entry(2, 'two'))).toEqual({ put: [], removed: [], faults: [] });
    expect(peers.delete(entry(1, 'me').key)).toEqual({ put: [], removed: [], faults: [] });
  });

  test('a peer that changed its address while nobody watched is a change', () => {
    const peers = table();
    peers.replace([entry(2, 'two')]);
    const delta = peers.replace([entry(2, 'two', '198.51.100.2')]);
    expect(delta.put).toMatchObject([{ publicIp: '198.51.100.2' }]);
    expect(delta.removed).toEqual([]);
  });

  test('a peer that vanished while nobody watched is removed, with what it last was', () => {
    const peers = table();
    peers.replace([entry(2, 'two'), entry(3, 'three')]);
    expect(peers.replace([entry(3, 'three')]).removed).toMatchObject([{ nodeName: 'two', publicIp: '192.0.2.2' }]);
    expect(peers.delete(entry(3, 'three').key).removed).toMatchObject([{ nodeName: 'three' }]);
    expect(peers.delete('/net/subnets/unknown').removed).toEqual([]);
    expect(peers.leases.size).toBe(0);
  });

  test('a lease that this node takes over is a peer no more', () => {
    const peers = table();
    peers.put(entry(2, 'two'));
    expect(peers.put(entry(2, 'me')).removed).toMatchObject([{ nodeName: 'two' }]);
  });

  test('a malformed entry is told once, and the others go on', () => {
    const peers = table();
    const bad = { ...entry(2, 'two'), value: '{' };
    const delta = peers.replace([bad, entry(3, 'three')]);
    expect(delta.faults).toEqual([{ key: bad.key, fault: expect.stringContaining('not a JSON object') }]);
    expect(delta.put.map(({ nodeName }) => nodeName)).toEqual(['three']);
    expect(peers.replace([bad, entry(3, 'three')]).faults).toEqual([]);
    expect(peers.faults.size).toBe(1);
  });

  test('a lease that becomes malformed is removed, and comes back when it is mended', () => {
    const peers = table();
    peers.put(entry(2, 'two'));
    expect(peers.put({ ...entry(2, 'two'), value: 'x' })).toMatchObject({ removed: [{ nodeName: 'two' }] });
    expect(peers.put(entry(2, 'two')).put).toMatchObject([{ nodeName: 'two' }]);
    expect(peers.faults.size).toBe(0);
  });
});
