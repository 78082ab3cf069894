// The configuration file as a value: what it means, and that a file with any error is no peering but a list of its errors.
// With a live bgpd: test/topology/bgpd-config.test.ts.

import { describe, expect, test } from 'vitest';
import type { Member } from '../../../bgpd/peer-set.ts';
import { dynamicPeer, importChanges } from '../../../bgpd/peering.ts';
import { NO_PEERING, type Peering, parsePeering } from '../../../bgpd/peering-file.ts';
import { lookAtLimit } from '../../../bgpd/prefix-limit.ts';
import type { Open } from '../../../bgpd/session/message.ts';
import { address } from '../../../lib/net/address.ts';

const OWN_ASN = 64_512;
const MINIMAL_POLICY = 'policies: {p: {statements: [], otherwise: accept}}';

describe('every error is named, and nothing of the file is used', () => {
  const ROWS: readonly [string, ...string[]][] = [
    ['peers: [', 'is no YAML: '],
    ['5', 'file: '],
    ['surprise: 1', 'file: .*surprise'],
    ['peers: [{address: 10.0.0.1}]', 'peers.0.name: '],
    ['peers: [{name: x, address: nowhere}]', 'peers.0.address: "nowhere" is no IP address'],
    ['peers: [{name: x, address: 10.0.0.1, port: 0}]', 'peers.0.port: '],
    ['peers: [{name: x, address: 10.0.0.1, asn: 0}]', 'peers.0.asn: '],
    ['peers: [{name: x, address: 10.0.0.1, group: g}]', 'peers.0.group: there is no group g'],
    ['peers: [{name: x, address: 10.0.0.1}, {name: x, address: 10.0.0.2}]', 'peers: x is there twice'],
    ['dynamic: [{range: 10.0.0.1/8}]', 'dynamic.0.range: "10.0.0.1/8" is no prefix with all host bits zero'],
    ['dynamic: [{range: 10.0.0.0/8, limit: 0}]', 'dynamic.0.limit: '],
    ['dynamic: [{range: 10.0.0.0/8, group: toString}]', 'dynamic.0.group: there is no group toString'],
    ['groups: {g: {import: p}}', 'groups.g.import: there is no policy p'],
    ['groups: {g: {export: p}}', 'groups.g.export: there is no policy p'],
    ['groups: {g: {prefixLimit: {max: 0}}}', 'groups.g.prefixLimit.max: '],
    ['groups: {g: {prefixLimit: {max: 1, action: explode}}}', 'groups.g.prefixLimit.action: '],
    ['sets: {prefixes: {s: ["10.0.0.0/8 24-16"]}}', 'sets.prefixes.s.0: "10.0.0.0/8 24-16" is no prefix such as'],
    ['sets: {prefixes: {s: ["10.0.0.0/8 8-33"]}}', 'sets.prefixes.s.0: '],
    ['sets: {communities: {s: ["65536:1"]}}', 'sets.communities.s.0: "65536:1" is no community such as'],
    ['sets: {largeCommunities: {s: ["1:2"]}}', 'sets.largeCommunities.s.0: is no large community such as'],
    ['policies: {p: {statements: []}}', 'policies.p.otherwise: '],
    ...(['prefixes', 'communities', 'largeCommunities', 'neighbours'] as const).map((kind): [string, string] => [
      `policies: {p: {statements: [{if: {${kind}: s}}], otherwise: accept}}`,
      `policies.p.statements.0.if.${kind}: there is no set s`,
    ]),
    [
      'policies: {p: {statements: [{set: {localPref: -1, prepend: {asn: 1, times: 17}, weight: 0}}], otherwise: accept}}',
      'policies.p.statements.0.set.localPref: ',
      'policies.p.statements.0.set.weight: ',
      'policies.p.statements.0.set.prepend.times: ',
    ],
    ['routes: [{prefix: 10.0.0.1/8}]\naggregates: [{med: 1}]', 'routes.0.prefix: ', 'aggregates.0.prefix: '],
    ['leases: {communities: [backup]}', 'leases.communities.0: "backup" is no community such as 64512:100'],
  ];

  test.each(ROWS)('%s', (text, ...wanted) => {
    const read = parsePeering(`${text}\n`, OWN_ASN);
    const errors = 'errors' in read ? read.errors : [];
    expect(errors).toHaveLength(wanted.length);
    for (const [i, pattern] of wanted.entries()) expect(errors[i]).toMatch(new RegExp(`^${escaped(pattern)}`));
  });

  test('one wrong word among good ones: the good ones are not used either', () => {
    const good = 'peers: [{name: x, address: 10.0.0.1}]\nroutes: [{prefix: 10.0.0.0/8}]\n';
    expect(peering(good).routes).toHaveLength(1);
    expect(parsePeering(`${good}groups: {mesh: {export: nowhere}}\n`, OWN_ASN)).toEqual({
      errors: ['groups.mesh.export: there is no policy nowhere'],
    });
  });

  test('an empty file is one that says nothing', () => {
    expect(parsePeering('', OWN_ASN)).toEqual(NO_PEERING);
  });
});

describe('neighbours by range', () => {
  const file = peering(`dynamic:
  - {range: 10.1.0.0/16, limit: 2, client: true, group: near}
  - {range: 10.0.0.0/8, asn: 65001}
groups: {near: {prefixLimit: {max: 5}}}`);
  const from = (at: string, asn = OWN_ASN, members: ReadonlyMap<string, Member> = new Map()) =>
    dynamicPeer(file, openOf('x', asn), address(at), members);

  test('the first range that has the address and the AS makes the peer', () => {
    expect(from('10.1.2.3')).toMatchObject({ name: 'x', isPassive: true, client: true, group: 'near' });
    expect(from('10.1.2.3')?.prefixLimit).toMatchObject({ max: 5, action: 'warn' });
    expect(from('10.1.2.3', 65_001)).toMatchObject({ asn: 65_001, client: false });
    expect(from('10.2.0.1')).toBeUndefined();
    expect(from('11.0.0.1', 65_001)).toBeUndefined();
  });

  test('no more than its limit at a time; those of other places do not count', () => {
    const member = (at: string, isPassive: boolean) =>
      ({ record: { name: at, address: address(at), port: 0, asn: OWN_ASN, isPassive } }) as unknown as Member;
    const some = [member('10.1.0.1', true), member('10.1.0.2', false), member('10.2.0.3', true)];
    const members = new Map(some.map((each) => [each.record.name, each] as const));
    expect(from('10.1.2.3', OWN_ASN, members)).toBeDefined();
    members.set('10.1.0.4', member('10.1.0.4', true));
    expect(from('10.1.2.3', OWN_ASN, members)).toBeUndefined();
  });
});

test('peers are asked again where their import policy says something else, by whatever name', () => {
  const withImport = (name: string, otherwise: string): Peering =>
    peering(`groups: {mesh: {import: ${name}}, far: {export: ${name}}}
policies: {${name}: {statements: [], otherwise: ${otherwise}}}`);
  expect([...importChanges(withImport('p', 'accept'), withImport('p', 'reject'))]).toEqual(['']);
  expect([...importChanges(NO_PEERING, withImport('p', 'reject'))]).toEqual(['']);
  expect([...importChanges(withImport('p', 'accept'), withImport('p', 'accept'))]).toEqual([]);
  expect([...importChanges(peering(MINIMAL_POLICY), NO_PEERING)]).toEqual([]);
});

test.each([
  ['warn', 74, false, false],
  ['warn', 75, true, false],
  ['warn', 500, true, false],
  ['block', 500, true, false],
  ['restart', 100, true, false],
  ['restart', 101, true, true],
] as const)('a limit of 100, %s, at %i: near %s, the end %s', (action, received, isNear, ends) => {
  const looked = lookAtLimit({ max: 100, warnPercent: 75, action, restartSeconds: 60 }, received);
  expect([looked.isNear, looked.end?.subcode]).toEqual([isNear, ends ? 1 : undefined]);
});

function peering(text: string): Peering {
  const read = parsePeering(text, OWN_ASN);
  if ('errors' in read) throw new Error(read.errors.join('; '));
  return read;
}

function openOf(node: string, asn: number): Open {
  const capabilities = { families: [4], routeRefresh: true } as const;
  return { version: 1, asn, holdTimeSeconds: 9, routerId: address('10.9.9.9'), node, capabilities };
}

/** As a pattern in which only `.*` is one. */
function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('\\.\\*', '.*');
}
