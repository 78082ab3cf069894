// Policies of a real configuration file as GoBGP shows them: names of sets, conditions, actions, and who they apply to.
// What the `gobgp` command prints of it is seen in test/topology/gobgp.test.ts.

import { expect, it } from 'vitest';
import { assignment, policyMessages, setMessages, statementMessages } from '../../../../bgpd/gobgp/policy-messages.ts';
import { type Peering, parsePeering } from '../../../../bgpd/peering-file.ts';
import { DefinedType, PolicyDirection, RouteAction } from '../../../../proto/gen/apipb/gobgp_pb.ts';

const FILE = `
groups: {mesh: {import: in}, upstream: {export: out}}
sets:
  prefixes: {ours: ["10.5.0.0/16 16-24"]}
  communities: {backup: ["64512:10"]}
  largeCommunities: {lc: ["64512:1:2"]}
  neighbours: {near: [node1, node2]}
policies:
  in:
    statements:
      - {name: bad, if: {asPath: {passes: [65666], from: [1, 2], maxLength: 5}}, action: reject}
      - {name: far, if: {communities: backup, neighbours: near}, set: {localPref: 50, addCommunities: ["1:2"]}}
    otherwise: accept
  out:
    statements:
      - name: ours
        if: {prefixes: ours, largeCommunities: lc}
        set: {med: 7, nextHop: 192.0.2.1, prepend: {asn: 64512, times: 2}, removeLargeCommunities: ["1:2:3"]}
        action: accept
    otherwise: reject
`;
const PEERING = parsePeering(FILE, 64_512) as Peering;

it('every policy with its statements, or the one that is named', () => {
  expect(
    policyMessages(PEERING, '').map(({ name, statements }) => [name, statements.map((each) => each.name)]),
  ).toEqual([
    ['in', ['bad', 'far']],
    ['out', ['ours']],
  ]);
  expect(policyMessages(PEERING, 'out')).toHaveLength(1);
  expect(policyMessages(PEERING, 'none')).toEqual([]);
});

it('conditions name the sets of the file, and one of their own for AS paths', () => {
  const [bad, far, ours] = statementMessages(PEERING, '');
  expect(bad?.conditions).toMatchObject({
    asPathSet: { type: 1, name: 'in/bad' },
    asPathLength: { type: 2, length: 5 },
  });
  expect(bad?.actions).toMatchObject({ routeAction: RouteAction.REJECT });
  expect(far?.conditions).toMatchObject({
    communitySet: { name: 'backup' },
    neighborSet: { name: 'near' },
    rpkiResult: -1,
  });
  expect(far?.conditions?.prefixSet).toBeUndefined();
  expect(far?.actions).toMatchObject({
    routeAction: RouteAction.NONE,
    localPref: { value: 50 },
    community: { type: 0, communities: ['1:2'] },
  });
  expect(ours?.conditions).toMatchObject({ prefixSet: { name: 'ours' }, largeCommunitySet: { name: 'lc' } });
  expect(ours?.actions).toMatchObject({
    routeAction: RouteAction.ACCEPT,
    med: { type: 1, value: 7n },
    nexthop: { address: '192.0.2.1' },
    asPrepend: { asn: 64_512, repeat: 2 },
    largeCommunity: { type: 1, communities: ['1:2:3'] },
  });
});

it.each([
  [DefinedType.PREFIX, { name: 'ours', prefixes: [{ ipPrefix: '10.5.0.0/16', maskLengthMin: 16, maskLengthMax: 24 }] }],
  [DefinedType.NEIGHBOR, { name: 'near', list: ['node1', 'node2'] }],
  [DefinedType.COMMUNITY, { name: 'backup', list: ['^64512:10$'] }],
  [DefinedType.LARGE_COMMUNITY, { name: 'lc', list: ['^64512:1:2$'] }],
  [DefinedType.AS_PATH, { name: 'in/bad', list: ['^(1|2)_', '_65666_'] }],
])('sets of kind %i', (type, expected) => {
  expect(setMessages(PEERING, type, '')).toMatchObject([{ definedType: type, ...expected }]);
  expect(setMessages(PEERING, type, 'other')).toEqual([]);
});

it('kinds that do not exist here are empty', () => {
  expect(setMessages(PEERING, DefinedType.EXT_COMMUNITY, '')).toEqual([]);
});

it.each([
  ['', PolicyDirection.IMPORT, ['in'], RouteAction.ACCEPT],
  ['', PolicyDirection.EXPORT, [], RouteAction.ACCEPT],
  ['upstream', PolicyDirection.EXPORT, ['out'], RouteAction.REJECT],
])('group %j, direction %i: %j', (group, direction, names, defaultAction) => {
  const found = assignment(PEERING, group, 'global', direction);
  expect(found).toMatchObject({ name: 'global', direction, defaultAction });
  expect(found.policies.map(({ name }) => name)).toEqual(names);
});
