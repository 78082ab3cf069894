// subnet.env as flanneld and flannel write it, and what is said of wrong ones.
//
// flanneld's side of the file has its own test.

import { describe, expect, it } from 'vitest';
import { prefix } from '../../../lib/net/prefix.ts';
import { parseSubnetEnv, podAddress } from '../../../lib/subnet-env.ts';

const GOOD = 'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';

describe('parseSubnetEnv', () => {
  it('reads subnet, gateway and MTU', () => {
    expect(parseSubnetEnv(GOOD)).toEqual({
      subnet: '10.5.7.0/24',
      gateway: '10.5.7.1',
      mtuBytes: 1450,
      networks: ['10.5.0.0/16'],
      masquerade: false,
    });
  });

  it('reads IPv6 and that felix masquerades', () => {
    const six = 'FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:7::1/64\n';
    expect(parseSubnetEnv(GOOD.replace('false', 'true') + six)).toMatchObject({
      ipv6: { subnet: 'fd00:5:0:7::/64', gateway: 'fd00:5:0:7::1' },
      networks: ['10.5.0.0/16', 'fd00:5::/48'],
      masquerade: true,
    });
  });

  it('needs neither order nor a last newline', () => {
    expect(parseSubnetEnv('FLANNEL_MTU=9000\nFLANNEL_SUBNET=10.5.128.1/20')).toEqual({
      subnet: '10.5.128.0/20',
      gateway: '10.5.128.1',
      mtuBytes: 9000,
      networks: [],
      masquerade: false,
    });
  });

  it.each([
    ['', 'FLANNEL_SUBNET is missing'],
    ['FLANNEL_SUBNET=10.5.7.1/24\n', 'FLANNEL_MTU is missing'],
    ['FLANNEL_SUBNET=10.5.7.1\nFLANNEL_MTU=1450\n', 'FLANNEL_SUBNET=10.5.7.1 is not like FLANNEL_SUBNET=10.5.1.1/24'],
    ['FLANNEL_SUBNET=fd00::1/64\nFLANNEL_MTU=1450\n', 'FLANNEL_SUBNET=fd00::1/64 is not like'],
    ['FLANNEL_SUBNET=10.5.7.1/24\nFLANNEL_IPV6_SUBNET=x\n', 'FLANNEL_IPV6_SUBNET=x is not like'],
    ['FLANNEL_SUBNET=10.5.7.1/33\nFLANNEL_MTU=1450\n', 'FLANNEL_SUBNET=10.5.7.1/33 is not like'],
    ['FLANNEL_SUBNET=10.5.7.1/24\nFLANNEL_MTU=big\n', 'FLANNEL_MTU=big is not like FLANNEL_MTU=1450'],
    ['FLANNEL_SUBNET=10.5.7.1/24\nFLANNEL_MTU=70000\n', 'FLANNEL_MTU=70000 is not like'],
    ['FLANNEL_SUBNET=10.5.7.1/24\nFLANNEL_MTU=\n', 'FLANNEL_MTU= is not like'],
  ])('says what is wrong with %j', (text, complaint) => {
    expect(parseSubnetEnv(text)).toContain(complaint);
  });
});

describe('podAddress', () => {
  it("is the subnet's .2", () => {
    expect(podAddress(prefix('10.5.7.0/24'))).toBe('10.5.7.2');
  });

  it('refuses a subnet without room', () => {
    expect(() => podAddress(prefix('10.5.7.0/32'))).toThrow('10.5.7.0/32 is too small for a pod');
  });
});
