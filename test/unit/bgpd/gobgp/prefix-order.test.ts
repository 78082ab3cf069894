// The order of a listing against the plain sort, and the lookups of `gobgp global rib <prefix>`.
// Slices are an economy: the result must not show where they were cut.

import { create } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { lookUp, SLICE, sortPrefixes } from '../../../../bgpd/gobgp/prefix-order.ts';
import { comparePrefixes, type Prefix, prefix } from '../../../../lib/net/prefix.ts';
import { TableLookupPrefix_Type, TableLookupPrefixSchema } from '../../../../proto/gen/apipb/gobgp_pb.ts';

const { EXACT, LONGER, SHORTER } = TableLookupPrefix_Type;
const KNOWN = ['10.0.0.0/8', '10.9.0.0/16', '10.9.3.0/24', '11.0.0.0/8', '0.0.0.0/0'].map(prefix);

it.each([0, 1, SLICE, SLICE + 1, 5 * SLICE + 7])('%i prefixes in order', async (count) => {
  const shuffled = Array.from({ length: count }, (_, i) => {
    const mixed = (i * 7_919) % 65_521;
    return prefix(`10.${mixed >> 8}.${mixed & 255}.0/${24 + (i % 2)}`);
  });
  expect(await sortPrefixes(shuffled)).toEqual(shuffled.toSorted(comparePrefixes));
});

it('IPv6 in order', async () => {
  const list = ['2001:db8:1::/48', '2001:db8::/48', '2001:db8::/32', '::/0', 'fd00::/8'].map(prefix);
  expect(await sortPrefixes(list)).toEqual(list.toSorted(comparePrefixes));
});

it.each([
  ['a prefix', '10.9.0.0/16', EXACT, ['10.9.0.0/16']],
  ['a prefix that is not there', '10.9.0.0/17', EXACT, []],
  ['an address: the longest match', '10.9.3.4', EXACT, ['10.9.3.0/24']],
  ['an address that only the default holds', '12.0.0.1', EXACT, ['0.0.0.0/0']],
  ['longer prefixes', '10.9.0.0/16', LONGER, ['10.9.0.0/16', '10.9.3.0/24']],
  ['shorter prefixes', '10.9.0.0/16', SHORTER, ['0.0.0.0/0', '10.0.0.0/8', '10.9.0.0/16']],
])('%s', async (_name, text, type, expected) => {
  expect(await found([create(TableLookupPrefixSchema, { prefix: text, type })])).toEqual(expected);
});

it('nothing named: all', async () => {
  expect(await found([])).toHaveLength(KNOWN.length);
});

it.each(['', '10.9.0.1/16', 'here'])('refused: %j', async (text) => {
  await expect(found([create(TableLookupPrefixSchema, { prefix: text })])).rejects.toThrow(
    /neither a prefix nor an address/,
  );
});

async function found(wanted: Parameters<typeof lookUp>[0]): Promise<readonly Prefix[]> {
  return sortPrefixes(await lookUp(wanted, KNOWN, (each) => KNOWN.includes(each)));
}
