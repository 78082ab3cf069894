// The record of a node in the registry: as written, and every way in which another writer may get it wrong.
// Each error names the field.

import { describe, expect, test } from 'vitest';
import { decodeNodeRecord, encodeNodeRecord, type NodeRecord, sameNode } from '../../../../bgpd/mesh/node-record.ts';
import { address } from '../../../../lib/net/address.ts';

const PREFIX = '/gingham/nodes/';
const KEY = '/gingham/nodes/node1';
const RECORD: NodeRecord = {
  name: 'node1',
  address: address('10.0.0.1'),
  port: 1790,
  asn: 64_512,
  routerId: address('10.0.0.1'),
};

test('written and read', () => {
  const text = encodeNodeRecord(RECORD);
  expect(text).toBe('{"name":"node1","address":"10.0.0.1","port":1790,"asn":64512,"routerId":"10.0.0.1"}');
  expect(decodeNodeRecord(PREFIX, KEY, text)).toEqual(RECORD);
});

test('fields that this version does not know do no harm', () => {
  const record = decodeNodeRecord(PREFIX, KEY, JSON.stringify({ ...RECORD, labels: { rack: 'r1' } }));
  expect(record).toEqual(RECORD);
});

test('an IPv6 address is taken in any notation', () => {
  const text = JSON.stringify({ ...RECORD, address: 'FD00:0::0001' });
  expect(decodeNodeRecord(PREFIX, KEY, text)).toMatchObject({ address: 'fd00::1' });
});

describe('malformed', () => {
  test.each([
    ['no JSON', '{', 'is no JSON'],
    ['no object', '7', /^record: /],
    ['null', 'null', /^record: /],
    ['no address', '{"name":"node1"}', /^address: /],
    ['wrong address', wrong({ address: '10.0.0.256' }), /^address: "10.0.0.256" is no IP address/],
    ['port 0', wrong({ port: 0 }), /^port: /],
    ['port too large', wrong({ port: 65_536 }), /^port: /],
    ['port as text', wrong({ port: '1790' }), /^port: /],
    ['AS 0', wrong({ asn: 0 }), /^asn: /],
    ['AS too large', wrong({ asn: 2 ** 32 }), /^asn: /],
    ['router id 0.0.0.0', wrong({ routerId: '0.0.0.0' }), /^routerId: /],
    ['router id of IPv6', wrong({ routerId: 'fd00::1' }), /^routerId: /],
    ['name of another key', wrong({ name: 'node2' }), 'name: "node2" is not that of its key'],
    ['empty name', wrong({ name: '' }), /^name: /],
  ])('%s', (_, text, error) => {
    expect(decodeNodeRecord(PREFIX, KEY, text)).toEqual({
      error: typeof error === 'string' ? error : expect.stringMatching(error),
    });
  });
});

test('records are compared by value, every field', () => {
  expect(sameNode(RECORD, { ...RECORD })).toBe(true);
  for (const change of [{ name: 'x' }, { address: address('10.0.0.2') }, { port: 1 }, { asn: 1 }]) {
    expect(sameNode(RECORD, { ...RECORD, ...change })).toBe(false);
  }
  expect(sameNode(RECORD, { ...RECORD, routerId: address('10.0.0.2') })).toBe(false);
});

function wrong(change: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...RECORD, ...change });
}

test('BFD is offered, or not, or its field is wrong; whether it is offered is part of what a record says', () => {
  const offering = { ...RECORD, bfd: true };
  expect(decodeNodeRecord(PREFIX, KEY, encodeNodeRecord(offering))).toEqual(offering);
  expect(decodeNodeRecord(PREFIX, KEY, JSON.stringify({ ...RECORD, bfd: 'yes' }))).toHaveProperty('error');
  expect(sameNode(RECORD, offering)).toBe(false);
  expect(sameNode(RECORD, { ...RECORD, bfd: false })).toBe(true);
});
