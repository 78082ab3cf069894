// `gingham drops`: what this node threw away, where, why and how often, since the daemon or the table was made.
//
// Three places drop: the data plane of flanneld (user-space tunnels, a counter a reason), the kernel's tunnel device, and
// felix's nftables rules. A place that cannot be looked at is named with the reason; it does not count as zero.

import { z } from 'zod';
import { EXIT } from '../lib/run/exit.ts';
import { answered, print } from './answer.ts';
import { readBgpd, readFlanneld } from './daemon-status.ts';
import { renderTable } from './table.ts';
import { textOf } from './tool.ts';

/** What `drops --json` prints. */
export const dropsAnswer = z.object({
  drops: z.array(z.object({ place: z.string(), reason: z.string(), count: z.number() })),
  notSeen: z.array(z.object({ place: z.string(), why: z.string() })),
});

type DropsAnswer = z.infer<typeof dropsAnswer>;
type Drop = DropsAnswer['drops'][number];

const nftListing = z.object({ nftables: z.array(z.object({ rule: z.unknown().optional() })) });
const nftRule = z.object({
  chain: z.string(),
  comment: z.string().optional(),
  expr: z.array(z.record(z.string(), z.unknown())),
});

/** Prints every drop counter that is not zero; 0. Throws `ExitError` where flanneld does not answer. */
export async function showDrops(runFolder: string, json: boolean): Promise<number> {
  const flanneld = answered(await readFlanneld(runFolder));
  const { drops, device, deviceCounters } = flanneld;
  const plane = Object.entries(drops ?? {}).map(([reason, count]) => ({ place: 'data plane', reason, count }));
  const ofDevice = Object.entries(deviceCounters ?? {})
    .filter(([name]) => /Dropped|Errors/.test(name))
    .map(([name, count]) => ({ place: device ?? '', reason: name.replace(/([A-Z])/, ' $1').toLowerCase(), count }));
  const rules = await nftDrops();
  const flawed = await flawedUpdates(runFolder);
  const parts = [plane, ofDevice, rules, flawed];
  const answer = {
    drops: parts.flatMap((part) => ('why' in part ? [] : part)).filter(({ count }) => count > 0),
    notSeen: parts.flatMap((part) => ('why' in part ? [part] : [])),
  };
  print(dropsAnswer, answer, json, dropsTable);
  return EXIT.ok;
}

/** One line a counter, the largest first. */
export function dropsTable({ drops, notSeen }: DropsAnswer): readonly string[] {
  const rows = drops
    .toSorted((a, b) => b.count - a.count)
    .map(({ place, reason, count }) => [String(count), place, reason]);
  const notes = notSeen.map(({ place, why }) => `not seen: ${place}: ${why}`);
  return [...(rows.length === 0 ? ['nothing was dropped'] : renderTable(['COUNT', 'WHERE', 'WHY'], rows)), ...notes];
}

/** Counters of the rules that end in `drop`, from the output of `nft -j list table inet gingham`. */
export function dropsOfRules(listing: string): readonly Drop[] {
  const { nftables } = nftListing.parse(JSON.parse(listing));
  return nftables.flatMap(({ rule }) => {
    const parsed = nftRule.safeParse(rule);
    if (!parsed.success || !parsed.data.expr.some((part) => 'drop' in part)) return [];
    const { chain, comment, expr } = parsed.data;
    const counter = expr.find((part) => 'counter' in part)?.['counter'] as { packets?: number } | undefined;
    return [
      { place: `nftables ${chain}`, reason: comment ?? 'a rule without a comment', count: counter?.packets ?? 0 },
    ];
  });
}

async function nftDrops(): Promise<readonly Drop[] | { readonly place: string; readonly why: string }> {
  const place = 'nftables';
  const listing = await textOf('nft', ['-j', 'list', 'table', 'inet', 'gingham']);
  if ('problem' in listing) {
    return /No such file/.test(listing.problem) ? [] : { place, why: listing.problem };
  }
  return dropsOfRules(listing.text);
}

async function flawedUpdates(runFolder: string): Promise<readonly Drop[]> {
  const bgpd = await readBgpd(runFolder);
  if (typeof bgpd === 'string') return [];
  return bgpd.peers.map(({ node, updatesFlawed }) => ({
    place: 'bgpd',
    reason: `flawed updates of ${node}`,
    count: updatesFlawed ?? 0,
  }));
}
