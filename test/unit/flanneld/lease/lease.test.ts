// flannel's etcd JSON and keys: the golden vectors, both ways, and their malformed twins.
// The vectors are test/vectors/flannel-lease-*.json.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  decodeLease,
  encodeLease,
  isLeaseFault,
  type Lease,
  leaseFolder,
  leaseKey,
} from '../../../../flanneld/lease/lease.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';

interface LeaseVector {
  readonly key: string;
  readonly value: string;
  readonly lease?: Lease;
  readonly fault?: string;
}

const FOLDER = new URL('../../../vectors/', import.meta.url);
const VECTORS = readdirSync(FOLDER)
  .filter((name) => name.startsWith('flannel-lease-'))
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as LeaseVector] as const);

test.each(VECTORS.filter(([, { fault }]) => fault === undefined))(
  '%s is read and written again as it was',
  (...vector) => {
    const [, { key, value, lease }] = vector;
    const decoded = decodeLease(key, value);
    expect(decoded).toEqual({ ...lease, key });
    if (isLeaseFault(decoded)) return;
    expect(leaseKey('/coreos.com/network', decoded.subnet, decoded.subnet6)).toBe(key);
    const written: unknown = JSON.parse(encodeLease(decoded));
    expect(written).toEqual({ ...(JSON.parse(value) as object), NodeName: decoded.nodeName });
    if (decoded.nodeName !== '') expect(encodeLease(decoded)).toBe(value);
  },
);

test.each(VECTORS.filter(([, { fault }]) => fault !== undefined))('%s is refused with its reason', (...vector) => {
  const [, { key, value, fault }] = vector;
  expect(decodeLease(key, value)).toEqual({ key, fault });
});

describe('decodeLease', () => {
  const value = encodeLease({ publicIp: address('10.0.0.1'), backendType: 'host-gw', nodeName: 'n' });

  test.each([
    '10.5.1.0',
    '10.5.1.0-33',
    '10.5.1.0-31',
    '10.5.1.7-24',
    '0.0.0.0-0',
    '10.5.1.0-24&',
    '10.5.1.0-24&zz::-64',
    '224.0.0.0-24',
    'config',
    '',
  ])('refuses the key %j', (name) => {
    expect(decodeLease(leaseFolder('/net') + name, value)).toMatchObject({ fault: expect.stringContaining('the key') });
  });

  test.each([
    ['{"PublicIP":"10.0.0"}', 'PublicIP "10.0.0" is not'],
    ['{"PublicIP":"fd00::1"}', 'PublicIP "fd00::1" is not a unicast IPv4'],
    ['{"PublicIP":["10.0.0.1"]}', 'PublicIP ["10.0.0.1"] is not'],
    ['{"PublicIPv6":"10.0.0.1"}', 'PublicIPv6 "10.0.0.1" is not a unicast IPv6'],
    ['{"PublicIP":"255.255.255.255"}', 'PublicIP'],
    ['{"PublicIP":"10.0.0.1","BackendType":7}', 'BackendType 7 is not a text'],
    ['{"PublicIP":"10.0.0.1","NodeName":{}}', 'NodeName {} is not a text'],
    ['{"PublicIP":"10.0.0.1","BackendType":"vxlan"}', 'BackendData is missing'],
    ['{"PublicIP":"10.0.0.1","BackendType":"vxlan","BackendData":"x"}', 'BackendData "x" is not an object'],
    ['{"PublicIP":"10.0.0.1","BackendType":"vxlan","BackendData":{"VNI":"1"}}', 'BackendData.VNI "1"'],
    ['{"PublicIP":"10.0.0.1","BackendType":"vxlan","BackendData":{"VNI":1}}', 'BackendData.VtepMAC missing'],
    ['[]', 'not a JSON object'],
    ['null', 'not a JSON object'],
    ['', 'not a JSON object'],
    [`{"x":"${'y'.repeat(500)}`, 'yyy...'],
  ])('refuses the value %s', (text, reason) => {
    const decoded = decodeLease('/net/subnets/10.5.1.0-24', text);
    expect(decoded).toMatchObject({ fault: expect.stringContaining(reason) });
    expect(JSON.stringify(decoded).length).toBeLessThan(250);
  });

  test('takes 220.0.0.0 to 223.255.255.255, which are ordinary addresses', () => {
    expect(decodeLease('/net/subnets/10.5.1.0-24', '{"PublicIP":"223.5.5.5"}')).toMatchObject({
      publicIp: '223.5.5.5',
    });
  });

  test('writes what it reads for every kind of lease', () => {
    const vtep = { vni: 7, mac: mac('02:00:00:00:00:07') };
    const lease: Lease = {
      key: leaseKey('/net', prefix('10.5.1.0/24'), prefix('fd00:5:1::/64')),
      subnet: prefix('10.5.1.0/24'),
      subnet6: prefix('fd00:5:1::/64'),
      publicIp6: address('fd00::1'),
      backendType: 'vxlan',
      vtep,
      vtep6: vtep,
      nodeName: 'nœud "1"',
    };
    expect(decodeLease(lease.key, encodeLease(lease))).toEqual(lease);
  });
});
