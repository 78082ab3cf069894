// IPv4, IPv6 and ARP headers against golden bytes and their malformed twins.
// One file for the three: a reader who looks for what a valid inner packet is finds it here.

import { describe, expect, test } from 'vitest';
import { ARP, isArp } from '../../../../lib/wire/arp.ts';
import { foldSum, internetChecksum, sumWords } from '../../../../lib/wire/checksum.ts';
import {
  faultOfIpv4,
  IPV4,
  IPV4_LENGTH,
  ipv4HeaderLength,
  isIpv4Host,
  isLaterIpv4Fragment,
  writeIpv4,
} from '../../../../lib/wire/ipv4.ts';
import { faultOfIpv6, findUpperLayer, ipv6TotalLength, isIpv6Host } from '../../../../lib/wire/ipv6.ts';
import { hex, hexVector } from '../../../hex-vector.ts';

describe('checksum', () => {
  test('is that of the example in RFC 1071 section 3', () => {
    const bytes = hex('0001 f203 f4f5 f6f7');
    expect(foldSum(sumWords(bytes, 0, 8))).toBe(0xddf2);
    expect(internetChecksum(bytes, 0, 8)).toBe(0x220d);
  });

  test('pads an odd last byte with zero, also in a long run', () => {
    expect(sumWords(hex('01'), 0, 1)).toBe(0x0100);
    const long = new Uint8Array(1001).fill(1);
    expect(sumWords(long, 0, 1001) % 0xffff).toBe((500 * 0x0101 + 0x0100) % 0xffff);
  });
});

describe('IPv4', () => {
  test.each([
    ['ipv4-options', undefined],
    ['ipv4-options-bad-checksum', 'checksum'],
    ['ipv4-options-short-header', 'header-length'],
    ['ipv4-options-truncated', 'header-length'],
    ['ipv6-later-fragment', 'version'],
  ])('%s: %s', (name, fault) => {
    const bytes = hexVector(name);
    expect(faultOfIpv4(bytes, 0, bytes.length)).toBe(fault);
  });

  test('every shorter piece of a packet is a fault, and padding behind it is none', () => {
    const bytes = hexVector('ipv4-options');
    for (let length = 0; length < bytes.length; length++) expect(faultOfIpv4(bytes, 0, length)).toBeDefined();
    expect(faultOfIpv4(Uint8Array.from([...bytes, 0, 0]), 0, bytes.length + 2)).toBeUndefined();
    expect(ipv4HeaderLength(bytes, 0)).toBe(24);
  });

  test('knows a later fragment', () => {
    const bytes = hexVector('ipv4-options');
    expect(isLaterIpv4Fragment(bytes, 0)).toBe(false);
    bytes[IPV4.fragment] = 0x20;
    expect(isLaterIpv4Fragment(bytes, 0)).toBe(false);
    bytes[IPV4.fragment + 1] = 1;
    expect(isLaterIpv4Fragment(bytes, 0)).toBe(true);
  });

  test.each([
    ['0a370102', true],
    ['00000000', false],
    ['7f000001', false],
    ['e0000001', false],
    ['f0000001', false],
    ['ffffffff', false],
  ])('%s is one host: %s', (text, expected) => {
    expect(isIpv4Host(hex(text), 0)).toBe(expected);
  });

  test('writes a header that it accepts, and nothing around it', () => {
    const into = new Uint8Array(IPV4_LENGTH + 2).fill(0xa5);
    const header = {
      tos: 0xc0,
      totalLength: 20,
      ttl: 64,
      protocol: 1,
      source: hex('0a370202'),
      destination: hex('0a370102'),
    };
    writeIpv4(header, into, 1);
    expect(faultOfIpv4(into, 1, IPV4_LENGTH)).toBeUndefined();
    expect([into[0], into[21]]).toEqual([0xa5, 0xa5]);
  });
});

describe('IPv6', () => {
  test('finds the transport header behind extension headers, and knows a later fragment', () => {
    const bytes = hexVector('ipv6-later-fragment');
    expect(faultOfIpv6(bytes, 0, bytes.length)).toBeUndefined();
    expect(findUpperLayer(bytes, 0)).toEqual({ protocol: 17, offset: 56, laterFragment: true });
    // Offset 0: the first fragment.
    bytes[50] = 0;
    bytes[51] = 1;
    expect(findUpperLayer(bytes, 0)).toEqual({ protocol: 17, offset: 56, laterFragment: false });
  });

  test('walks an authentication header in its own unit', () => {
    const bytes = Uint8Array.from([
      ...hexVector('ipv6-later-fragment').subarray(0, 40),
      ...hex('06 04 0000'),
      ...new Uint8Array(20),
    ]);
    bytes[6] = 51;
    bytes[5] = 24;
    expect(findUpperLayer(bytes, 0)).toEqual({ protocol: 6, offset: 64, laterFragment: false });
  });

  test('says undefined where the chain runs out of the packet', () => {
    expect(findUpperLayer(hexVector('ipv6-later-fragment-bad-chain'), 0)).toBeUndefined();
  });

  test('says what is wrong with a truncated packet', () => {
    const bytes = hexVector('ipv6-later-fragment-truncated');
    expect(faultOfIpv6(bytes, 0, bytes.length)).toBe('payload-length');
    expect(ipv6TotalLength(bytes, 0)).toBe(bytes.length + 1);
    expect(faultOfIpv6(bytes, 0, 39)).toBe('truncated');
    expect(faultOfIpv6(hexVector('ipv4-options').slice(), 0, 40)).toBe('version');
  });

  test.each([
    ['fd55000100000000 0000000000000002', true],
    ['0000000000000000 0000000000000000', false],
    ['0000000000000000 0000000000000001', false],
    ['0000000000000000 0000000000000002', true],
    ['ff02000000000000 0000000000000001', false],
  ])('%s is one host: %s', (text, expected) => {
    expect(isIpv6Host(hex(text), 0)).toBe(expected);
  });
});

describe('ARP', () => {
  test.each([
    ['arp-request', true],
    ['arp-request-wrong-hardware', false],
    ['arp-request-truncated', false],
  ])('%s: %s', (name, expected) => {
    const bytes = hexVector(name);
    expect(isArp(bytes, 0, bytes.length)).toBe(expected);
  });

  test('says who asks', () => {
    expect(hexVector('arp-request').subarray(ARP.senderAddress, ARP.senderAddress + 4)).toEqual(hex('0a370100'));
  });
});
