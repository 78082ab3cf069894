// What it costs to find the peer of a packet by longest prefix, in a table of ten prefixes and in one of ten thousand.
//
// Both tables are there at once and are asked in turn; a figure is the median of its turns. Asked are the addresses of some
// flows, over and over as packets come, and addresses all over the table, each another one than before: the worst case.

import { ForwardingTable } from '../../flanneld/dataplane/forwarding-table.ts';
import { TableChanges } from '../../flanneld/dataplane/table-changes.ts';
import { address } from '../../lib/net/address.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { writeU32 } from '../../lib/wire/bytes.ts';
import { median, rounded } from './statistics.ts';

const SIZES = [10, 10_000] as const;
const FLOWS = 64;
const TURNS = 15;
const LOOKUPS_PER_TURN = 100_000;
/** 10.0.0.0. */
const FIRST = 0x0a00_0000;

/** Nanoseconds per look-up: `lookup_10_prefixes_flows_ns` and so on. */
export function measureLookups(): Record<string, number | null> {
  const cases = SIZES.flatMap((size) => {
    const table = tableOf(size);
    return [
      { name: `lookup_${size}_prefixes_flows_ns`, table, bytes: destinations(size, FLOWS), taken: [] as number[] },
      {
        name: `lookup_${size}_prefixes_scattered_ns`,
        table,
        bytes: destinations(size, LOOKUPS_PER_TURN),
        taken: [] as number[],
      },
    ];
  });
  for (let turn = 0; turn < TURNS; turn++) {
    for (const { table, bytes, taken } of cases) {
      const startedMs = performance.now();
      for (let i = 0, at = 0; i < LOOKUPS_PER_TURN; i++, at = (at + 4) % bytes.length) {
        if (table.findByDestination(4, bytes, at) === undefined) throw new Error('an address has no owner');
      }
      taken.push(((performance.now() - startedMs) * 1e6) / LOOKUPS_PER_TURN);
    }
  }
  return Object.fromEntries(cases.map(({ name, taken }) => [name, rounded(median(taken), 1)]));
}

/** One peer with the whole of 10.0.0.0/8, and routes of four lengths in it. */
function tableOf(size: number): ForwardingTable {
  const table = new ForwardingTable([]);
  const changes = new TableChanges();
  const endpoint = address('192.0.2.2');
  const peer = { node: 'b', endpoint, port: 8285, subnets: [prefix('10.0.0.0/8')] };
  table.apply(Int32Array.from(changes.setPeer(peer)));
  for (let i = 0; i < size; i++) {
    const length = 24 + 2 * (i % 4);
    const route = prefix(`10.${(i >> 8) & 255}.${i & 255}.0/${length}`);
    table.apply(Int32Array.from(changes.setRoute({ prefix: route, endpoints: [endpoint] })));
  }
  return table;
}

/** So many addresses all over the routes of a table of this size, one behind the other. */
function destinations(size: number, count: number): Uint8Array {
  const bytes = new Uint8Array(4 * count);
  let random = 1;
  for (let i = 0; i < count; i++) {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    writeU32(bytes, 4 * i, FIRST + ((random >>> 12) % size) * 256 + ((random >>> 4) & 255));
  }
  return bytes;
}
