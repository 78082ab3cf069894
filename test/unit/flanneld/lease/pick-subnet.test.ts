// Which subnet a node gets: its own, its former one, a free one; and what it says where there is none.
// Against a slow model, and with several nodes at once: test/property/lease-allocation.test.ts.

import { describe, expect, test } from 'vitest';
import type { Lease } from '../../../../flanneld/lease/lease.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../../../flanneld/lease/network-config.ts';
import { type CandidateSubnets, type Pick, type Picker, pickSubnet } from '../../../../flanneld/lease/pick-subnet.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';

const CONFIG = parseNetworkConfig('{"Network":"10.5.0.0/16"}') as NetworkConfig;
const SMALL = parseNetworkConfig('{"Network":"10.5.0.0/24","SubnetLen":26}') as NetworkConfig;

function lease(subnet: string, nodeName: string, publicIp = '192.0.2.9'): Lease {
  const key = `/net/subnets/${subnet.replace('/', '-')}`;
  return { key, subnet: prefix(subnet), publicIp: address(publicIp), backendType: 'host-gw', nodeName };
}

function pick(config: NetworkConfig, leases: readonly Lease[], picker: Partial<Picker> = {}): Pick {
  return pickSubnet(config, leases, { nodeName: 'me', publicIps: ['192.0.2.1'], random: () => 0, ...picker });
}

/** What is tried before the rest. */
function first(picked: Pick): CandidateSubnets {
  const [candidate] = picked.type === 'free' ? picked.candidates : [];
  if (candidate === undefined) throw new Error(`nothing is free: ${JSON.stringify(picked)}`);
  return candidate;
}

describe('pickSubnet', () => {
  test('takes over the lease with its name, whatever its address is', () => {
    const mine = lease('10.5.7.0/24', 'me', '198.51.100.1');
    expect(pick(CONFIG, [lease('10.5.1.0/24', 'you'), mine])).toEqual({ type: 'own', lease: mine });
  });

  test('takes over a lease that flannel wrote for its address, and not one with another name at its address', () => {
    const flannels = lease('10.5.7.0/24', '', '192.0.2.1');
    expect(pick(CONFIG, [flannels])).toEqual({ type: 'own', lease: flannels });
    expect(pick(CONFIG, [lease('10.5.7.0/24', 'you', '192.0.2.1')])).toMatchObject({ type: 'free' });
  });

  test('a lease of its own that the config no longer allows is not kept and not in the way', () => {
    const old = lease('10.9.0.0/24', 'me');
    expect(pick(CONFIG, [old])).toMatchObject({ type: 'free' });
    const all = ['10.5.0.64/26', '10.5.0.128/26', '10.5.0.192/26'].map((subnet) => lease(subnet, 'you'));
    expect(pick(SMALL, [...all.slice(1), lease('10.5.0.64/27', 'me')])).toMatchObject({
      type: 'free',
      candidates: [{ subnet: '10.5.0.64/26' }],
    });
  });

  test('takes the former subnet where it is free and allowed', () => {
    const previous = { subnet: prefix('10.5.9.0/24') };
    expect(first(pick(CONFIG, [], { previous }))).toEqual({ ...previous, from: 'previous' });
    expect(first(pick(CONFIG, [lease('10.5.9.0/24', 'you')], { previous }))).toMatchObject({ from: 'name' });
    expect(first(pick(CONFIG, [lease('10.5.8.0/22', 'you')], { previous }))).toMatchObject({ from: 'name' });
    expect(first(pick(CONFIG, [], { previous: { subnet: prefix('10.6.9.0/24') } }))).toMatchObject({ from: 'name' });
  });

  test('the same name comes to the same free place, other names to others', () => {
    const places = ['a', 'b', 'c', 'd', 'a'].map((nodeName) => first(pick(CONFIG, [], { nodeName })).subnet);
    expect(places[0]).toBe(places[4]);
    expect(new Set(places).size).toBe(4);
  });

  test('where the place of the name is taken any free one is as likely', () => {
    const { subnet } = first(pick(SMALL, []));
    const taken = lease(subnet, 'you');
    const seen = [0, 0.3, 0.5, 0.7, 0.999].map((value) => first(pick(SMALL, [taken], { random: () => value })));
    const subnets = new Set(seen.map((picked) => picked.subnet));
    expect(subnets.size).toBe(2);
    expect(subnets).not.toContain(subnet);
  });

  test('where all are taken it says who holds what and what to do', () => {
    const all = ['10.5.0.64/26', '10.5.0.128/26', '10.5.0.192/26'].map((subnet, i) => lease(subnet, `n${i}`));
    const none = pick(SMALL, [...all, lease('10.7.0.0/24', 'elsewhere')]);
    expect(none).toMatchObject({ type: 'none' });
    const { fault } = none as { fault: string };
    expect(fault).toContain('10.5.0.0/24 has 3 of /26');
    expect(fault).toContain('10.5.0.64/26 by n0, 10.5.0.128/26 by n1, 10.5.0.192/26 by n2;');
    expect(fault).not.toContain('elsewhere');
  });

  test('a long list of holders is cut', () => {
    const all = Array.from({ length: 255 }, (_, i) => lease(`10.5.${i + 1}.0/24`, `n${i + 1}`));
    const none = pick(CONFIG, all);
    expect((none as { fault: string }).fault).toContain('and 247 more');
  });

  test('dual stack: both or nothing, and only leases with both fit', () => {
    const dual = parseNetworkConfig(
      '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48"}',
    ) as NetworkConfig;
    const picked = first(pick(dual, [lease('10.5.7.0/24', 'me')]));
    expect(picked.subnet).toMatch(/^10\.5\..*\/24$/);
    expect(picked.subnet6).toMatch(/^fd00:5:.*\/64$/);
    const both = { ...lease('10.5.7.0/24', 'me'), subnet6: prefix('fd00:5:0:7::/64') };
    expect(pick(dual, [both])).toEqual({ type: 'own', lease: both });
    expect(pick(CONFIG, [both])).toMatchObject({ type: 'free' });
  });

  test('candidates are many and distinct, and the IPv6 subnet follows the IPv4 one: no two keys share half', () => {
    const dual = parseNetworkConfig(
      '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48"}',
    ) as NetworkConfig;
    const of = (nodeName: string) => {
      const picked = pick(dual, [], { nodeName, random: Math.random });
      return picked.type === 'free' ? picked.candidates : [];
    };
    const all = Array.from({ length: 50 }, (_, i) => of(`node${i}`)).flat();
    expect(all).toHaveLength(50 * 16);
    expect(new Set(of('a').map(({ subnet }) => subnet)).size).toBe(16);
    const pairs = new Map<string, Set<string | undefined>>();
    for (const { subnet, subnet6 } of all) pairs.set(subnet, (pairs.get(subnet) ?? new Set()).add(subnet6));
    expect([...pairs.values()].every(({ size }) => size === 1)).toBe(true);
    expect(new Set(all.map(({ subnet6 }) => subnet6)).size).toBe(pairs.size);
  });

  test('what is reserved for the node comes before the lease that it has', () => {
    const [dynamic, reserved] = [lease('10.5.7.0/24', 'me'), lease('10.5.8.0/24', 'me')];
    const picker = { nodeName: 'me', publicIps: [], random: () => 0 };
    expect(pickSubnet(CONFIG, [dynamic, reserved], picker, (other) => other === reserved)).toEqual({
      type: 'own',
      lease: reserved,
    });
  });
});
