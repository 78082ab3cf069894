// Policy rules over rtnetlink: RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE. Kernel header: include/uapi/linux/fib_rules.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |    family     | dst length    | src length    |      tos      |   struct fib_rule_hdr
// |     table     |                reserved       |    action     |
// |                             flags                             |
//
// Only rules without a selector are written: every packet looks into the table. The confusing thing: a rule has no key; the
// kernel takes the same one twice, unless it is told to refuse that (NLM_F_EXCL).

import type { Rule } from '../kernel/kernel.ts';
import type { Family } from '../net/address.ts';
import { type NetlinkMessage, NLM_F } from './netlink.ts';
import { attributeCursor, type NetlinkError, nextAttribute, readU8, readU32, viewOf } from './netlink-attributes.ts';
import { beginMessage, endMessage, type NetlinkWriter, putU8, putU32, reserve } from './netlink-writer.ts';
import { addressFamily, familyOfNumber, RTM } from './rtnetlink.ts';

const HEADER = { family: 0, table: 4, action: 7 } as const;
const HEADER_LENGTH = 12;

const FRA = { priority: 6, table: 15, protocol: 21 } as const;
const ACTION_TO_TABLE = 1;

/** RTM_NEWRULE; the kernel answers EEXIST where there is one that does the same. False where it does not fit. */
export function encodePutRule(writer: NetlinkWriter, sequence: number, rule: Rule): boolean {
  return encodeRule(writer, RTM.newRule, NLM_F.request | NLM_F.create | NLM_F.exclusive, sequence, rule);
}

/** RTM_DELRULE of the first such rule; the kernel answers ENOENT where there is none. */
export function encodeDeleteRule(writer: NetlinkWriter, sequence: number, rule: Rule): boolean {
  return encodeRule(writer, RTM.deleteRule, NLM_F.request, sequence, rule);
}

/** RTM_GETRULE for all rules of one family. */
export function encodeListRules(writer: NetlinkWriter, sequence: number, family: Family): boolean {
  const start = beginMessage(writer, RTM.getRule, NLM_F.request | NLM_F.dump, sequence);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0) writer.bytes[at + HEADER.family] = addressFamily(family);
  return endMessage(writer, start);
}

/** The rule in RTM_NEWRULE or RTM_DELRULE; `undefined` where it does not lead to a table, or of another family. */
export function decodeRule(bytes: Uint8Array, message: NetlinkMessage): Rule | undefined | NetlinkError {
  const { start, end } = message;
  if (start + HEADER_LENGTH > end) return { error: 'truncated', field: 'fib_rule_hdr' };
  const view = viewOf(bytes);
  const family = familyOfNumber(view.getUint8(start + HEADER.family));
  if (family === undefined || view.getUint8(start + HEADER.action) !== ACTION_TO_TABLE) return undefined;
  const rule = { family, priority: 0, table: view.getUint8(start + HEADER.table), protocol: 0 };
  const cursor = attributeCursor(bytes, view, start + HEADER_LENGTH, end);
  while (nextAttribute(cursor)) {
    if (cursor.type === FRA.priority) rule.priority = readU32(cursor);
    else if (cursor.type === FRA.table) rule.table = readU32(cursor);
    else if (cursor.type === FRA.protocol) rule.protocol = readU8(cursor);
  }
  return cursor.error ?? rule;
}

function encodeRule(writer: NetlinkWriter, type: number, flags: number, sequence: number, rule: Rule): boolean {
  const start = beginMessage(writer, type, flags, sequence);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0) {
    writer.bytes[at + HEADER.family] = addressFamily(rule.family);
    writer.bytes[at + HEADER.action] = ACTION_TO_TABLE;
  }
  putU32(writer, FRA.priority, rule.priority);
  putU32(writer, FRA.table, rule.table);
  putU8(writer, FRA.protocol, rule.protocol);
  return endMessage(writer, start);
}
