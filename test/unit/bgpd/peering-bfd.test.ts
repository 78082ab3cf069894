// Timings of BFD in the file of `--config`: what is accepted, whose they are, and who gets a session for it.
// That a running bgpd takes other ones without losing a session is in test/topology/bgpd-bfd.test.ts.

import { expect, test } from 'vitest';
import { bfdOf } from '../../../bgpd/peering.ts';
import { type Peering, parsePeering } from '../../../bgpd/peering-file.ts';
import { address } from '../../../lib/net/address.ts';

const FILE = `
peers:
  - {name: fast, address: 192.0.2.2, group: edge, bfd: {transmitMilliseconds: 50, multiplier: 5}}
  - {name: usual, address: 192.0.2.3, group: edge}
  - {name: none, address: 192.0.2.4}
groups:
  edge: {bfd: {transmitMilliseconds: 100, receiveMilliseconds: 200}}
  other: {bfd: {}}
`;

function read(text: string): Peering {
  const peering = parsePeering(text, 64_512);
  if ('errors' in peering) throw new Error(peering.errors.join('; '));
  return peering;
}

function timings(peering: Peering, name: string, offers = false): ReturnType<typeof bfdOf> {
  const record = peering.peers.find((peer) => peer.name === name);
  const registered = { name, address: address('192.0.2.9'), port: 1790, asn: 64_512 };
  return bfdOf(peering, record ?? registered, offers);
}

test("a peer's own before its group's, number by number", () => {
  const peering = read(FILE);
  expect(timings(peering, 'fast')).toEqual({ transmitMs: 50, receiveMs: 200, multiplier: 5 });
  expect(timings(peering, 'usual')).toEqual({ transmitMs: 100, receiveMs: 200 });
});

test('a peer of the file for which nothing is said has no session; one that offers it has the usual one', () => {
  const peering = read(FILE);
  expect(timings(peering, 'none')).toBeUndefined();
  expect(timings(peering, 'none', true)).toEqual({});
});

test('the group mesh is that of registered nodes, which need to offer it', () => {
  const peering = read('groups: {mesh: {bfd: {multiplier: 4}}}');
  expect(timings(peering, 'node7', true)).toEqual({ multiplier: 4 });
  expect(timings(peering, 'node7')).toBeUndefined();
});

test('a peer from a range has those of its group', () => {
  const peering = read('dynamic: [{range: 192.0.2.0/24, group: edge}]\ngroups: {edge: {bfd: {}}}');
  const record = { name: 'node9', address: address('192.0.2.9'), port: 0, asn: 64_512, group: 'edge', isPassive: true };
  expect(bfdOf(peering, record, false)).toEqual({});
});

test('other timings are no reason to end a session: the entry of the peer is the same', () => {
  expect(read(FILE.replace('multiplier: 5', 'multiplier: 6')).peers).toEqual(read(FILE).peers);
});

test.each([
  ['transmitMilliseconds', '9', '9 is not accepted; accepted: a whole number from 10 to 60000'],
  ['transmitMilliseconds', '60001', '60001 is not accepted; accepted: a whole number from 10 to 60000'],
  ['receiveMilliseconds', '50.5', '50.5 is not accepted; accepted: a whole number from 10 to 60000'],
  ['receiveMilliseconds', 'fast', '"fast" is not accepted; accepted: a whole number from 10 to 60000'],
  ['multiplier', '0', '0 is not accepted; accepted: a whole number from 1 to 255'],
  ['multiplier', '256', '256 is not accepted; accepted: a whole number from 1 to 255'],
])('%s: %s is refused by its place, with what is accepted', (field, value, message) => {
  expect(parsePeering(`groups: {edge: {bfd: {${field}: ${value}}}}`, 64_512)).toEqual({
    errors: [`groups.edge.bfd.${field}: ${message}`],
  });
  const peer = `peers: [{name: a, address: 192.0.2.2, bfd: {${field}: ${value}}}]`;
  expect(parsePeering(peer, 64_512)).toEqual({ errors: [`peers.0.bfd.${field}: ${message}`] });
});
