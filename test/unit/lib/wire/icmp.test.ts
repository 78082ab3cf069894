// ICMP and ICMPv6 errors: the bytes that are made, byte for byte, and about which packets none may be made.
// The malformed twins show that a changed message is seen: they do not verify.

import { describe, expect, test } from 'vitest';
import { foldSum, sumWords } from '../../../../lib/wire/checksum.ts';
import { ICMP_ERROR_MAX_LENGTH, mayAnswerIpv4, writeIcmpError } from '../../../../lib/wire/icmp.ts';
import { ICMPV6_ERROR_MAX_LENGTH, mayAnswerIpv6, writeIcmpv6Error } from '../../../../lib/wire/icmpv6.ts';
import { faultOfIpv4, IPV4_LENGTH } from '../../../../lib/wire/ipv4.ts';
import { IPV6_LENGTH } from '../../../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../../../lib/wire/pseudo-header.ts';
import { hexVector } from '../../../hex-vector.ts';

/** A buffer in which a stray write is seen, the message at 3. */
const SPOILED = 0xa5;
const AT = 3;

/** The packet that a golden error is about: what it quotes, continued by the pattern with which the vector was made. */
function culprit4(error: Uint8Array, length: number): Uint8Array {
  return continued(error.subarray(IPV4_LENGTH + 8), length, 28);
}

function culprit6(error: Uint8Array, length: number): Uint8Array {
  return continued(error.subarray(IPV6_LENGTH + 8), length, 48);
}

function continued(quote: Uint8Array, length: number, dataAt: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => quote[i] ?? (i - dataAt) & 0xff);
}

describe('IPv4', () => {
  test('fragmentation needed: 576 bytes, the MTU in it, as golden', () => {
    const golden = hexVector('icmp-fragmentation-needed');
    const culprit = culprit4(golden, 1400);
    const into = new Uint8Array(ICMP_ERROR_MAX_LENGTH + 6).fill(SPOILED);
    const error = { kind: 'fragmentation-needed', mtuBytes: 1300 } as const;
    const length = writeIcmpError(error, golden.subarray(12, 16), culprit, 0, into, AT);
    expect(length).toBe(ICMP_ERROR_MAX_LENGTH);
    expect(into.subarray(AT, AT + length)).toEqual(golden);
    expect([...into.subarray(0, AT), ...into.subarray(AT + length)].every((byte) => byte === SPOILED)).toBe(true);
  });

  test('time exceeded: a short packet is quoted whole, as golden', () => {
    const golden = hexVector('icmp-time-exceeded');
    const into = new Uint8Array(golden.length);
    const length = writeIcmpError({ kind: 'ttl-exceeded' }, golden.subarray(12, 16), golden, 28, into, 0);
    expect(into.subarray(0, length)).toEqual(golden);
  });

  test('a changed or a cut message does not verify', () => {
    const verifies = (bytes: Uint8Array) => foldSum(sumWords(bytes, IPV4_LENGTH, bytes.length)) === 0xffff;
    expect(verifies(hexVector('icmp-fragmentation-needed'))).toBe(true);
    expect(verifies(hexVector('icmp-fragmentation-needed-bad-checksum'))).toBe(false);
    const cut = hexVector('icmp-time-exceeded-truncated');
    expect(verifies(cut)).toBe(false);
    expect(faultOfIpv4(cut, 0, cut.length)).toBe('total-length');
  });

  test('no error about an error, about a later fragment, or to and about what is no single host', () => {
    const request = hexVector('vxlan-echo').subarray(22);
    expect(mayAnswerIpv4(request, 0)).toBe(true);
    for (const type of [3, 4, 5, 11, 12]) expect(mayAnswerIpv4(changed(request, 20, type), 0)).toBe(false);
    for (const type of [0, 8, 13, 14]) expect(mayAnswerIpv4(changed(request, 20, type), 0)).toBe(true);
    expect(mayAnswerIpv4(changed(request, 7, 1), 0)).toBe(false);
    expect(mayAnswerIpv4(changed(request, 12, 224), 0)).toBe(false);
    expect(mayAnswerIpv4(changed(request, 12, 127), 0)).toBe(false);
    expect(mayAnswerIpv4(changed(request, 16, 255), 0)).toBe(false);
    // An ICMP packet without a type.
    expect(mayAnswerIpv4(changed(request, 3, 20), 0)).toBe(false);
  });
});

describe('IPv6', () => {
  test('packet too big: 1,280 bytes, as golden', () => {
    const golden = hexVector('icmpv6-packet-too-big');
    const into = new Uint8Array(ICMPV6_ERROR_MAX_LENGTH + 6).fill(SPOILED);
    const error = { kind: 'packet-too-big', mtuBytes: 1300 } as const;
    const length = writeIcmpv6Error(error, golden.subarray(8, 24), culprit6(golden, 1400), 0, into, AT);
    expect(length).toBe(ICMPV6_ERROR_MAX_LENGTH);
    expect(into.subarray(AT, AT + length)).toEqual(golden);
    expect([...into.subarray(0, AT), ...into.subarray(AT + length)].every((byte) => byte === SPOILED)).toBe(true);
  });

  test('a checksum without pseudo-header does not verify', () => {
    const verifies = (bytes: Uint8Array) => {
      const pseudo = pseudoHeaderSum(6, bytes, 0, 58, bytes.length - IPV6_LENGTH);
      return foldSum(sumWords(bytes, IPV6_LENGTH, bytes.length, pseudo)) === 0xffff;
    };
    expect(verifies(hexVector('icmpv6-packet-too-big'))).toBe(true);
    expect(verifies(hexVector('icmpv6-packet-too-big-bad-checksum'))).toBe(false);
  });

  test('no error about an error, a redirect, a later fragment, or what cannot be walked', () => {
    const tooBig = hexVector('icmpv6-packet-too-big');
    expect(mayAnswerIpv6(tooBig, 0)).toBe(false);
    for (const type of [1, 2, 3, 4, 127, 137]) expect(mayAnswerIpv6(changed(tooBig, 40, type), 0)).toBe(false);
    for (const type of [128, 129, 135]) expect(mayAnswerIpv6(changed(tooBig, 40, type), 0)).toBe(true);
    expect(mayAnswerIpv6(hexVector('ipv6-later-fragment'), 0)).toBe(false);
    expect(mayAnswerIpv6(hexVector('ipv6-later-fragment-bad-chain'), 0)).toBe(false);
    const udp = culprit6(tooBig, 1400);
    expect(mayAnswerIpv6(udp, 0)).toBe(true);
    expect(mayAnswerIpv6(changed(udp, 8, 0xff), 0)).toBe(false);
    expect(mayAnswerIpv6(changed(udp, 24, 0xff), 0)).toBe(false);
  });
});

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}
