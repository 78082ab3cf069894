// Prefixes in order and by lookup, over a table that may be large: sorting goes in slices, so that keepalives are sent
// meanwhile. Not the table itself.

import { setImmediate as turn } from 'node:timers/promises';
import { addressBytes, parseAddress } from '../../lib/net/address.ts';
import {
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixContains,
  prefixLength,
  prefixOf,
} from '../../lib/net/prefix.ts';
import { type TableLookupPrefix, TableLookupPrefix_Type } from '../../proto/gen/apipb/gobgp_pb.ts';
import { Refusal } from './refusal.ts';

/** Prefixes handled between two turns of the event loop: about a millisecond. */
export const SLICE = 512;

/** By address, then the shorter first, as `gobgp` lists them. */
export async function sortPrefixes(prefixes: readonly Prefix[]): Promise<readonly Prefix[]> {
  let runs: Keyed[][] = [];
  for (let at = 0; at < prefixes.length; at += SLICE) {
    const run = prefixes.slice(at, at + SLICE).map((prefix) => ({ key: sortKey(prefix), prefix }));
    runs.push(run.sort((a, b) => (a.key < b.key ? -1 : 1)));
    await turn();
  }
  while (runs.length > 1) {
    const merged: Keyed[][] = [];
    for (let i = 0; i < runs.length; i += 2) merged.push(await merge(runs[i] ?? [], runs[i + 1] ?? []));
    runs = merged;
  }
  return (runs[0] ?? []).map(({ prefix }) => prefix);
}

/** The prefixes that a request names, of those that are known; all where it names none. Throws `Refusal`. */
export async function lookUp(
  wanted: readonly TableLookupPrefix[],
  known: Iterable<Prefix>,
  has: (prefix: Prefix) => boolean,
): Promise<readonly Prefix[]> {
  if (wanted.length === 0) return [...known];
  const found = new Set<Prefix>();
  for (const { prefix: text, type } of wanted) {
    const address = parseAddress(text);
    const prefix = parsePrefix(text);
    if (type === TableLookupPrefix_Type.LONGER && prefix !== undefined) {
      for (const each of await within(prefix, [...known])) found.add(each);
    } else if (type === TableLookupPrefix_Type.SHORTER && prefix !== undefined) {
      for (const each of around(prefix)) if (has(each)) found.add(each);
    } else if (prefix !== undefined) {
      if (has(prefix)) found.add(prefix);
    } else if (address !== undefined) {
      const longest = around(prefixOf(address, addressBytes(address).length * 8) as Prefix).find(has);
      if (longest !== undefined) found.add(longest);
    } else {
      throw new Refusal('INVALID_ARGUMENT', `${JSON.stringify(text)} is neither a prefix nor an address`);
    }
  }
  return [...found];
}

interface Keyed {
  readonly key: string;
  readonly prefix: Prefix;
}

/** Text that sorts as the prefix does, within one family. */
function sortKey(prefix: Prefix): string {
  return Buffer.from(addressBytes(prefixAddress(prefix))).toString('hex') + String.fromCharCode(prefixLength(prefix));
}

async function merge(a: Keyed[], b: Keyed[]): Promise<Keyed[]> {
  const merged: Keyed[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const [x, y] = [a[i], b[j]];
    if (x !== undefined && (y === undefined || x.key < y.key)) {
      merged.push(x);
      i++;
    } else if (y !== undefined) {
      merged.push(y);
      j++;
    }
    if (merged.length % (8 * SLICE) === 0) await turn();
  }
  return merged;
}

async function within(outer: Prefix, known: readonly Prefix[]): Promise<readonly Prefix[]> {
  const found: Prefix[] = [];
  for (const [i, each] of known.entries()) {
    if (prefixLength(each) >= prefixLength(outer) && prefixContains(outer, prefixAddress(each))) found.push(each);
    if (i % SLICE === SLICE - 1) await turn();
  }
  return found;
}

/** The prefix itself and all shorter ones that hold it, the longest first. */
function around(prefix: Prefix): readonly Prefix[] {
  const address = prefixAddress(prefix);
  return Array.from(
    { length: prefixLength(prefix) + 1 },
    (_, i) => prefixOf(address, prefixLength(prefix) - i) as Prefix,
  );
}
