// Policies of the configuration file as GoBGP's API shows them: sets, statements, policies and who they apply to. To look
// at: they are changed in the file.
//
// What has no counterpart is shown as what comes nearest: neighbours are names of nodes, AS path conditions without a set
// of their own are shown as one, and a statement that adds and removes communities shows what it adds.

import { create } from '@bufbuild/protobuf';
import {
  AsPathLength_Type,
  CommunityAction_Type,
  type DefinedSet,
  DefinedSetSchema,
  DefinedType,
  MatchSet_Type,
  MedAction_Type,
  type PolicyAssignment,
  PolicyAssignmentSchema,
  PolicyDirection,
  type Policy as PolicyMessage,
  PolicySchema,
  RouteAction,
  type Statement as StatementMessage,
  StatementSchema,
} from '../../proto/gen/apipb/gobgp_pb.ts';
import type { NamedSets, Peering } from '../peering-file.ts';
import type { AsPathCondition, Changes, Conditions, Policy, Statement } from '../rib/policy.ts';

const ACTION = { accept: RouteAction.ACCEPT, reject: RouteAction.REJECT, next: RouteAction.NONE } as const;

/** GoBGP's "not looked at". */
const RPKI_ANY = -1;

/** Policies by name; all for the empty name. */
export function policyMessages({ definitions, sets }: Peering, name: string): readonly PolicyMessage[] {
  return definitions.filter((each) => name === '' || each.name === name).map((each) => policyMessage(each, sets));
}

export function statementMessages({ definitions, sets }: Peering, name: string): readonly StatementMessage[] {
  const all = definitions.flatMap((policy) => policy.statements.map((each) => statementMessage(policy, each, sets)));
  return all.filter((each) => name === '' || each.name === name);
}

/** The sets of one kind. */
export function setMessages(
  { definitions, sets }: Peering,
  definedType: DefinedType,
  name: string,
): readonly DefinedSet[] {
  const all = setsOf(definitions, sets, definedType);
  return all
    .filter((each) => name === '' || each.name === name)
    .map((each) => create(DefinedSetSchema, { definedType, ...each }));
}

/** What applies to the peers of a group; `''` is the group of those that name none. */
export function assignment(
  { policies, sets }: Peering,
  group: string,
  name: string,
  direction: PolicyDirection,
): PolicyAssignment {
  const { import: onImport, export: onExport } = policies.get(group) ?? {};
  const policy = direction === PolicyDirection.IMPORT ? onImport : onExport;
  return create(PolicyAssignmentSchema, {
    name,
    direction,
    policies: policy === undefined ? [] : [policyMessage(policy, sets)],
    defaultAction: ACTION[policy?.otherwise ?? 'accept'],
  });
}

function policyMessage(policy: Policy, sets: NamedSets): PolicyMessage {
  const statements = policy.statements.map((each) => statementMessage(policy, each, sets));
  return create(PolicySchema, { name: policy.name, statements });
}

function statementMessage(policy: Policy, statement: Statement, sets: NamedSets): StatementMessage {
  return create(StatementSchema, {
    name: statement.name,
    conditions: conditionsOf(policy, statement, sets),
    actions: { routeAction: ACTION[statement.action], ...changesOf(statement.set) },
  });
}

function conditionsOf(policy: Policy, statement: Statement, sets: NamedSets) {
  const { prefixes, neighbours, communities, largeCommunities, asPath }: Conditions = statement.if;
  const matches = (type: MatchSet_Type, name: string | undefined) => (name === undefined ? {} : { type, name });
  const any = (known: Readonly<Record<string, unknown>>, used: unknown) =>
    matches(MatchSet_Type.ANY, nameOf(known, used));
  return {
    rpkiResult: RPKI_ANY,
    ...(prefixes !== undefined && { prefixSet: any(sets.prefixes, prefixes) }),
    ...(neighbours !== undefined && { neighborSet: any(sets.neighbours, neighbours) }),
    ...(communities !== undefined && { communitySet: any(sets.communities, communities) }),
    ...(largeCommunities !== undefined && { largeCommunitySet: any(sets.largeCommunities, largeCommunities) }),
    ...(asPath?.maxLength !== undefined && { asPathLength: { type: AsPathLength_Type.LE, length: asPath.maxLength } }),
    ...(asPath !== undefined &&
      patternsOf(asPath).length > 0 && { asPathSet: matches(MatchSet_Type.ALL, asPathSetName(policy, statement)) }),
  };
}

function changesOf({ localPref, med, nextHop, prepend, ...edits }: Changes) {
  return {
    ...(localPref !== undefined && { localPref: { value: localPref } }),
    ...(med !== undefined && { med: { type: MedAction_Type.REPLACE, value: BigInt(med) } }),
    ...(nextHop !== undefined && { nexthop: { address: nextHop } }),
    ...(prepend !== undefined && { asPrepend: { asn: prepend.asn, repeat: prepend.times } }),
    ...editOf('community', edits.addCommunities?.map(communityText), edits.removeCommunities?.map(communityText)),
    ...editOf('largeCommunity', edits.addLargeCommunities, edits.removeLargeCommunities),
  };
}

function editOf(field: 'community' | 'largeCommunity', add: readonly string[] = [], remove: readonly string[] = []) {
  if (add.length > 0) return { [field]: { type: CommunityAction_Type.ADD, communities: [...add] } };
  if (remove.length > 0) return { [field]: { type: CommunityAction_Type.REMOVE, communities: [...remove] } };
  return {};
}

function setsOf(definitions: readonly Policy[], sets: NamedSets, type: DefinedType) {
  switch (type) {
    case DefinedType.PREFIX:
      return Object.entries(sets.prefixes).map(([name, ranges]) => ({
        name,
        prefixes: ranges.map(({ prefix, minLength, maxLength }) => ({
          ipPrefix: prefix,
          maskLengthMin: minLength,
          maskLengthMax: maxLength,
        })),
      }));
    case DefinedType.NEIGHBOR:
      return textSets(sets.neighbours, (name) => name);
    case DefinedType.COMMUNITY:
      return textSets(sets.communities, (value) => `^${communityText(value)}$`);
    case DefinedType.LARGE_COMMUNITY:
      return textSets(sets.largeCommunities, (value) => `^${value}$`);
    case DefinedType.AS_PATH:
      return definitions.flatMap((policy) =>
        policy.statements.flatMap((statement) => {
          const list = statement.if.asPath === undefined ? [] : patternsOf(statement.if.asPath);
          return list.length === 0 ? [] : [{ name: asPathSetName(policy, statement), list: [...list] }];
        }),
      );
    default:
      return [];
  }
}

function textSets<T>(sets: Readonly<Record<string, readonly T[]>>, text: (value: T) => string) {
  return Object.entries(sets).map(([name, values]) => ({ name, list: values.map(text) }));
}

/** A condition holds the very list of its set. */
function nameOf(sets: Readonly<Record<string, unknown>>, list: unknown): string | undefined {
  return Object.entries(sets).find(([, each]) => each === list)?.[0];
}

function asPathSetName(policy: Policy, statement: Statement): string {
  return `${policy.name}/${statement.name}`;
}

/** One pattern per condition in GoBGP's notation, where `_` stands between two AS numbers: all of them must match. */
function patternsOf({ from, originatedIn, passes }: AsPathCondition): readonly string[] {
  const oneOf = (numbers: readonly number[]): string =>
    numbers.length === 1 ? String(numbers[0]) : `(${numbers.join('|')})`;
  return [
    ...(from === undefined ? [] : [`^${oneOf(from)}_`]),
    ...(originatedIn === undefined ? [] : [`_${oneOf(originatedIn)}$`]),
    ...(passes === undefined ? [] : [`_${oneOf(passes)}_`]),
  ];
}

function communityText(value: number): string {
  return `${value >>> 16}:${value & 0xffff}`;
}
