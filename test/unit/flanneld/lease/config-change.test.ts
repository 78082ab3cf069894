// What of a changed network config is taken up while flanneld runs, and what waits for a restart.
// The node holds 10.5.7.0/24.

import { expect, test } from 'vitest';
import { changeConfig } from '../../../../flanneld/lease/config-change.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../../../flanneld/lease/network-config.ts';
import { prefix } from '../../../../lib/net/prefix.ts';

const OWN = { subnet: prefix('10.5.7.0/24') };
const config = (fields: object): NetworkConfig =>
  parseNetworkConfig(JSON.stringify({ Network: '10.5.0.0/16', ...fields })) as NetworkConfig;

test('bounds, MTU and DirectRouting are taken up', () => {
  const next = config({ SubnetMax: '10.5.9.0', Backend: { Type: 'vxlan', MTU: 1400, DirectRouting: true } });
  expect(changeConfig(config({}), next, OWN)).toEqual({ live: next, waiting: [] });
  expect(changeConfig(next, config({}), OWN)).toEqual({ live: config({}), waiting: [] });
});

test.each([
  [{ Backend: { Type: 'udp' } }, /^Backend\.Type: vxlan, to be udp$/],
  [{ Backend: { Type: 'vxlan', VNI: 7 } }, /^Backend\.VNI: 1, to be 7$/],
  [{ Backend: { Type: 'vxlan', Port: 4789 } }, /^Backend\.Port: 8472, to be 4789$/],
  [{ SubnetMin: '10.5.8.0' }, /^Network: .* where this node's subnet has no place$/],
  [{ SubnetLen: 25 }, /^Network: 10\.5\.0\.0\/16 in \/24 .*, to be 10\.5\.0\.0\/16 in \/25/],
  [{ EnableIPv6: true, IPv6Network: 'fd00:5::/48' }, /^Network: /],
])('%j waits for a restart, and nothing of it is in use', (fields, line) => {
  expect(changeConfig(config({}), config(fields), OWN)).toEqual({
    live: config({}),
    waiting: [expect.stringMatching(line)],
  });
});
