// flannel's network config: golden vectors with their twins, the defaults at every boundary, each fault by name.
// The vectors are test/vectors/flannel-config-*.json.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  describeFaults,
  isConfigFault,
  type NetworkConfig,
  parseNetworkConfig,
  poolHas,
} from '../../../../flanneld/lease/network-config.ts';
import { prefix } from '../../../../lib/net/prefix.ts';

interface ConfigVector {
  readonly value: string;
  readonly config?: NetworkConfig;
  readonly faults?: string;
}

const FOLDER = new URL('../../../vectors/', import.meta.url);
const VECTORS = readdirSync(FOLDER)
  .filter((name) => name.startsWith('flannel-config-'))
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as ConfigVector] as const);

test.each(VECTORS)('%s', (_, { value, config, faults }) => {
  const parsed = parseNetworkConfig(value);
  if (config !== undefined) expect(parsed).toEqual(config);
  else expect(isConfigFault(parsed) && describeFaults(parsed)).toBe(faults);
});

function faultsOf(config: unknown): string {
  const parsed = parseNetworkConfig(JSON.stringify(config));
  return isConfigFault(parsed) ? describeFaults(parsed) : 'none';
}

function configOf(config: unknown): NetworkConfig {
  const parsed = parseNetworkConfig(JSON.stringify(config));
  if (isConfigFault(parsed)) throw new Error(describeFaults(parsed));
  return parsed;
}

describe('defaults of the pool', () => {
  test.each([
    ['10.0.0.0/8', 24, '10.0.1.0', '10.255.255.0'],
    ['10.5.0.0/16', 24, '10.5.1.0', '10.5.255.0'],
    ['10.5.0.0/22', 24, '10.5.1.0', '10.5.3.0'],
    ['10.5.0.0/23', 25, '10.5.0.128', '10.5.1.128'],
    ['10.5.0.0/28', 30, '10.5.0.4', '10.5.0.12'],
  ])('%s: /%i from %s to %s', (network, subnetLength, min, max) => {
    expect(configOf({ Network: network }).pool).toEqual({ network, subnetLength, min, max });
  });

  test.each([
    ['fd00:5::/48', 64, 'fd00:5:0:1::', 'fd00:5:0:ffff::'],
    ['fd00:5::/62', 64, 'fd00:5:0:1::', 'fd00:5:0:3::'],
    ['fd00:5::/63', 65, 'fd00:5:0:0:8000::', 'fd00:5:0:1:8000::'],
  ])('%s: /%i from %s to %s', (network, subnetLength, min, max) => {
    const config = configOf({ Network: '10.5.0.0/16', EnableIPv6: true, IPv6Network: network });
    expect(config.pool6).toEqual({ network, subnetLength, min, max });
  });

  test('host bits of Network are cut off, as flannel does', () => {
    expect(configOf({ Network: '10.5.7.9/16' }).pool.network).toBe('10.5.0.0/16');
  });

  test('IPv6Network means nothing without EnableIPv6', () => {
    expect(configOf({ Network: '10.5.0.0/16', IPv6Network: 'nonsense' }).pool6).toBeUndefined();
  });
});

describe('faults', () => {
  const Network = '10.5.0.0/16';
  test.each([
    [{ Network, SubnetLen: 8 }, 'SubnetLen 8 is not accepted: it takes a whole number from 18 to 30'],
    [{ Network, SubnetLen: 31 }, 'SubnetLen 31 is not accepted'],
    [{ Network, SubnetLen: '24' }, 'SubnetLen "24" is not accepted'],
    [{ Network, SubnetLen: 24.5 }, 'SubnetLen 24.5 is not accepted'],
    [{ Network: '10.5.0.0/29' }, 'Network "10.5.0.0/29" is not accepted: it takes a prefix of at most 28 bits'],
    [{ Network: '10.5.0.0' }, 'Network "10.5.0.0" is not accepted: it takes an IPv4 prefix'],
    [{ Network: '10.5.0.0/33' }, 'Network "10.5.0.0/33" is not accepted'],
    [{ Network: 5 }, 'Network 5 is not accepted'],
    [
      { Network, SubnetMin: '10.6.1.0' },
      'SubnetMin "10.6.1.0" is not accepted: it takes an address inside 10.5.0.0/16',
    ],
    [
      { Network, SubnetMax: '10.4.1.0' },
      'SubnetMax "10.4.1.0" is not accepted: it takes an address inside 10.5.0.0/16',
    ],
    [{ Network, SubnetMin: '10.5.1.7' }, 'SubnetMin "10.5.1.7" is not accepted: it takes the first address of a /24'],
    [{ Network, SubnetMin: 'fd00::' }, 'SubnetMin "fd00::" is not accepted: it takes an IPv4 address'],
    [
      { Network, SubnetMin: '10.5.9.0', SubnetMax: '10.5.8.0' },
      'SubnetMin "10.5.9.0" is not accepted: it takes an address not above SubnetMax (10.5.8.0)',
    ],
    [{ Network, EnableIPv4: false }, 'EnableIPv4 false is not accepted'],
    [{ Network, EnableIPv6: 'yes' }, 'EnableIPv6 "yes" is not accepted: it takes true or false'],
    [{ Network, EnableIPv6: true }, 'IPv6Network is missing'],
    [
      { Network, EnableIPv6: true, IPv6Network: '10.6.0.0/16' },
      'IPv6Network "10.6.0.0/16" is not accepted: it takes an IPv6 prefix',
    ],
    [
      { Network, Backend: { Type: 'ipsec' } },
      'Backend.Type "ipsec" is not accepted: it takes one of vxlan, udp, ipip, host-gw',
    ],
    [{ Network, Backend: { Type: 1 } }, 'Backend.Type 1 is not accepted'],
    [{ Network, Backend: 'vxlan' }, 'Backend "vxlan" is not accepted'],
    [
      { Network, Backend: { VNI: 1 << 24 } },
      'Backend.VNI 16777216 is not accepted: it takes a whole number from 1 to 16777215',
    ],
    [{ Network, Backend: { Port: 65_536 } }, 'Backend.Port 65536 is not accepted'],
    [{ Network, Backend: { Type: 'udp', Port: -1 } }, 'Backend.Port -1 is not accepted'],
    [{ Network, Backend: { DirectRouting: 1 } }, 'Backend.DirectRouting 1 is not accepted'],
    [[], 'config [] is not accepted'],
  ])('%j', (config, expected) => {
    expect(faultsOf(config)).toContain(expected);
    expect(faultsOf(config)).not.toContain('\n');
  });

  test('all of them are reported at once', () => {
    const faults = faultsOf({ Network: 'x', EnableIPv4: 1, Backend: { Type: 'y' } });
    for (const field of ['Network', 'EnableIPv4', 'Backend.Type']) expect(faults).toContain(field);
  });

  test('what is no JSON at all says where', () => {
    expect(describeFaults(parseNetworkConfig('{"Network"') as never)).toContain('it takes a JSON object (');
  });
});

describe('backends', () => {
  const backendOf = (Backend: unknown) => configOf({ Network: '10.5.0.0/16', Backend }).backend;

  test('a port of 0 is the usual one', () => {
    expect(backendOf({ Type: 'vxlan', Port: 0 })).toMatchObject({ port: 8472 });
    expect(backendOf({ Type: 'udp' })).toEqual({ type: 'udp', port: 8285 });
  });

  test('options', () => {
    expect(backendOf({ Type: 'host-gw' })).toEqual({ type: 'host-gw' });
    expect(backendOf({ Type: 'IPIP' })).toEqual({ type: 'ipip', directRouting: false, userSpace: false });
    expect(backendOf({ Type: 'ipip', DirectRouting: true, UserSpace: true })).toEqual({
      type: 'ipip',
      directRouting: true,
      userSpace: true,
    });
    expect(backendOf({ UserSpace: true, MTU: 9000, GBP: true })).toMatchObject({
      type: 'vxlan',
      userSpace: true,
      mtuBytes: 9000,
      gbp: true,
    });
  });
});

test('poolHas says whether a subnet is one of the pool', () => {
  const { pool } = configOf({ Network: '10.5.0.0/16', SubnetMin: '10.5.10.0', SubnetMax: '10.5.20.0' });
  const has = (text: string) => poolHas(pool, prefix(text));
  expect([has('10.5.10.0/24'), has('10.5.20.0/24')]).toEqual([true, true]);
  expect([has('10.5.9.0/24'), has('10.5.21.0/24'), has('10.5.10.0/25'), has('fd00::/24')]).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
