// Our .proto against GoBGP's own: gobgpd's binary holds the descriptors of its messages, and every message, field, number,
// type and call of ours must be in them. Not behaviour: that is test/topology/gobgp.test.ts.

import { readFileSync } from 'node:fs';
import { type DescField, type DescMessage, fromBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { expect, it } from 'vitest';
import { UNSERVED } from '../../bgpd/gobgp/unserved.ts';
import { file_apipb_gobgp, GobgpApi } from '../../proto/gen/apipb/gobgp_pb.ts';

const GOBGPD = '/usr/bin/gobgpd';
/** Names of GoBGP's files, as its binary has them. */
const FILES = ['gobgp.proto', 'attribute.proto', 'capability.proto'];
const LENGTH_DELIMITED = 2;
/** The last field of a FileDescriptorProto: `syntax`. */
const SYNTAX_FIELD = 12;

const theirs = descriptors();
const MESSAGES: ReadonlyMap<string, DescriptorProto> = new Map(
  theirs.flatMap((file) => file.messageType.flatMap((each) => named('apipb', each))),
);

it('the binary holds the three files', () => {
  expect(theirs.map(({ name }) => name)).toEqual(FILES);
});

it.each(file_apipb_gobgp.messages.flatMap(withNested).map((message) => ({ message, name: message.typeName })))(
  '$name has the numbers and types of GoBGP',
  ({ message, name }) => {
    const found = MESSAGES.get(name);
    const fields = new Map(found?.field.map((field) => [field.name, [field.number, field.label === 3, typeOf(field)]]));
    for (const field of message.fields) {
      expect(fields.get(field.name), `${name}.${field.name}`).toEqual([
        field.number,
        field.fieldKind === 'list',
        typeOf(field.proto),
      ]);
    }
    expect(found).toBeDefined();
  },
);

it('enums have the names and numbers of GoBGP', () => {
  const scopes = [...MESSAGES, ...theirs.map((file) => ['apipb', file] as const)];
  const known = new Map<string, EnumDescriptorProto['value']>(
    scopes.flatMap(([scope, { enumType }]) => enumType.map((each) => [`${scope}.${each.name}`, each.value] as const)),
  );
  const ours = [...file_apipb_gobgp.enums, ...file_apipb_gobgp.messages.flatMap((each) => each.nestedEnums)];
  expect(ours.length).toBeGreaterThan(5);
  for (const { typeName, values } of ours) {
    const numbers = new Map(known.get(typeName)?.map(({ name, number }) => [name, number]));
    for (const { name, number } of values) expect(numbers.get(name), `${typeName}.${name}`).toBe(number);
  }
});

it('every call is served, or refused in words', () => {
  const all = theirs.flatMap(({ service }) => service.flatMap(({ method }) => method.map((each) => each.name)));
  const ours = [...GobgpApi.methods.map(({ name }) => name), ...Object.keys(UNSERVED)];
  expect(ours.toSorted()).toEqual(all.toSorted());
});

function typeOf({ type, typeName }: DescField['proto']): string {
  return typeName || String(type);
}

function withNested(message: DescMessage): DescMessage[] {
  return [message, ...message.nestedMessages.flatMap(withNested)];
}

function named(scope: string, message: DescriptorProto): [string, DescriptorProto][] {
  const name = `${scope}.${message.name}`;
  return [[name, message], ...message.nestedType.flatMap((each) => named(name, each))];
}

/** Go keeps each descriptor as plain protobuf: it begins with its name (field 1) and ends with its syntax. */
function descriptors(): readonly FileDescriptorProto[] {
  const binary = readFileSync(GOBGPD);
  return FILES.flatMap((name) => {
    const head = Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name), Buffer.from('\x12\x05apipb')]);
    const start = binary.indexOf(head);
    return start < 0 ? [] : [fromBinary(FileDescriptorProtoSchema, binary.subarray(start, endOf(binary, start)))];
  });
}

function endOf(binary: Buffer, start: number): number {
  for (let at = start; ; ) {
    const tag = binary[at] ?? 0;
    let length = 0;
    let shift = 0;
    for (at++; ; at++) {
      const byte = binary[at] ?? 0;
      length += (byte & 0x7f) * 2 ** shift;
      shift += 7;
      if (byte < 0x80) break;
    }
    at += 1 + length;
    if ((tag & 7) !== LENGTH_DELIMITED || tag >> 3 === SYNTAX_FIELD) return at;
  }
}
