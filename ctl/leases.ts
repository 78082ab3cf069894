// `gingham leases`: every subnet that is leased, as flanneld of this node has it from etcd, or from memory without etcd.
//
// How long a lease still runs is known of this node's own only: the others' leases are theirs to renew.

import { z } from 'zod';
import { EXIT } from '../lib/run/exit.ts';
import { answered, byName, duration, print } from './answer.ts';
import { type FlanneldStatus, readFlanneld } from './daemon-status.ts';
import { renderTable } from './table.ts';
import { yesNoTone } from './tone.ts';

/** What `leases --json` prints. */
export const leasesAnswer = z.object({
  node: z.string(),
  /** Where this is known from: etcd now, or memory since etcd went away (ISO 8601). */
  source: z.union([z.literal('etcd'), z.object({ memorySince: z.string(), reason: z.string() })]),
  malformed: z.number(),
  leases: z.array(
    z.object({
      node: z.string(),
      subnet: z.string(),
      subnet6: z.string().optional(),
      publicIP: z.string(),
      own: z.boolean(),
      /** Of the own lease; null where it is a reservation, which does not end. */
      secondsLeft: z.number().nullable().optional(),
      programmed: z.boolean(),
      refused: z.string().optional(),
    }),
  ),
});

type LeasesAnswer = z.infer<typeof leasesAnswer>;

/** Prints the leases; 1 where packets to one of them have no way, else 0. Throws `ExitError` where flanneld does not answer. */
export async function showLeases(runFolder: string, json: boolean): Promise<number> {
  const answer = leasesOf(answered(await readFlanneld(runFolder)));
  print(leasesAnswer, answer, json, leasesTable);
  return answer.leases.every(({ programmed }) => programmed) ? EXIT.ok : EXIT.internal;
}

/** One line a lease, and where it is known from when that is not etcd. */
export function leasesTable({ leases, source, malformed }: LeasesAnswer): readonly string[] {
  const rows = leases.map((lease) => [
    lease.node,
    lease.subnet6 === undefined ? lease.subnet : `${lease.subnet} ${lease.subnet6}`,
    lease.publicIP,
    lease.programmed ? 'yes' : 'no',
    timeLeft(lease),
    lease.refused ?? (lease.own ? 'this node' : '-'),
  ]);
  const notes: string[] = [];
  if (source !== 'etcd') notes.push(`from memory since ${source.memorySince}: ${source.reason}`);
  if (malformed > 0) notes.push(`${malformed} entries in etcd are no leases and are left out`);
  return [
    ...renderTable(['NODE', 'SUBNET', 'PUBLIC IP', 'REACHED', 'LEFT', 'NOTE'], rows, yesNoTone),
    ...(notes.length > 0 ? ['', ...notes] : []),
  ];
}

function leasesOf(status: FlanneldStatus): LeasesAnswer {
  const { node, subnet, subnet6, publicIP, lease, etcd, peers } = status;
  const own = subnet !== null && {
    ...{ node, subnet, publicIP: publicIP ?? '', own: true, programmed: true },
    ...(subnet6 !== undefined && { subnet6 }),
    secondsLeft: lease?.secondsLeft ?? null,
  };
  const others = peers.map((peer) => ({
    ...{ node: peer.node, subnet: peer.subnet, publicIP: peer.publicIP ?? '', own: false, programmed: peer.programmed },
    ...(peer.subnet6 !== undefined && { subnet6: peer.subnet6 }),
    ...(peer.refused !== undefined && { refused: peer.refused }),
  }));
  return {
    node,
    source: etcd.connected ? 'etcd' : { memorySince: etcd.since ?? '', reason: etcd.reason ?? '' },
    malformed: status.malformedLeases,
    leases: [...(own ? [own] : []), ...others].sort(byName),
  };
}

function timeLeft({ own, secondsLeft }: LeasesAnswer['leases'][number]): string {
  if (!own) return '-';
  if (secondsLeft === null || secondsLeft === undefined) return 'for good';
  return secondsLeft > 0 ? duration(secondsLeft) : 'ran out';
}
