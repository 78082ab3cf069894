// VXLAN headers against golden bytes (RFC 7348 section 5), and each malformed twin.
// What is inside is the plane's business: see plane-core.test.ts.

import { expect, test } from 'vitest';
import { faultOfVxlan, VXLAN_LENGTH, writeVxlan } from '../../../../lib/wire/vxlan.ts';
import { hexVector } from '../../../hex-vector.ts';

test.each([
  ['vxlan-echo', undefined],
  ['vxlan-echo-reserved-bits', undefined],
  ['vxlan-echo-no-vni-flag', 'flags'],
  ['vxlan-echo-reserved-bits-no-vni-flag', 'flags'],
  ['vxlan-echo-wrong-vni', 'vni'],
])('%s: %s', (name, fault) => {
  const bytes = hexVector(name);
  expect(faultOfVxlan(bytes, 0, bytes.length, 1)).toBe(fault);
});

test('says truncated for anything shorter than a header, wherever it stands', () => {
  const bytes = hexVector('vxlan-echo');
  for (let length = 0; length < VXLAN_LENGTH; length++) expect(faultOfVxlan(bytes, 0, length, 1)).toBe('truncated');
  const shifted = Uint8Array.from([0xa5, ...bytes]);
  expect(faultOfVxlan(shifted, 1, VXLAN_LENGTH, 1)).toBeUndefined();
});

test('writes the golden header, and not a byte around it', () => {
  const into = new Uint8Array(VXLAN_LENGTH + 4).fill(0xa5);
  writeVxlan(1, into, 2);
  expect(into.subarray(2, 10)).toEqual(hexVector('vxlan-echo').subarray(0, 8));
  expect([into[0], into[1], into[10], into[11]]).toEqual([0xa5, 0xa5, 0xa5, 0xa5]);
});

test('carries the whole range of network identifiers', () => {
  for (const vni of [0, 1, 0x123456, 0xffffff]) {
    const into = new Uint8Array(VXLAN_LENGTH);
    writeVxlan(vni, into, 0);
    expect(faultOfVxlan(into, 0, VXLAN_LENGTH, vni)).toBeUndefined();
    expect(faultOfVxlan(into, 0, VXLAN_LENGTH, vni ^ 1)).toBe('vni');
  }
});
