// `gingham routes`: the routes of this node's bgpd and why each is the best, or one of them with every candidate and the
// step of the decision at which it lost.
//
// It shows what bgpd decided, not what the kernel has: that is felix's.

import { z } from 'zod';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { answered, print } from './answer.ts';
import { askDaemon } from './daemon-http.ts';
import { clip, renderTable, TABLE_WIDTH } from './table.ts';

/** 100,000 routes are some megabytes, made in slices. */
const ANSWER_MS = 60_000;

/** Widest texts in a table; --json has the whole. */
const LIST_WIDTH = 30;
const NAME_WIDTH = 16;

const routeSchema = z.object({
  prefix: z.string(),
  best: z.object({ from: z.string(), nextHop: z.string() }).nullable(),
  nextHops: z.array(z.string()),
  candidates: z.number(),
  reason: z.string(),
});

const candidateSchema = z.object({
  from: z.string(),
  kind: z.string(),
  isBest: z.boolean(),
  isUsed: z.boolean(),
  lostAt: z.string().nullable(),
  detail: z.string().optional(),
  nextHop: z.string(),
  localPref: z.number(),
  asPath: z.array(z.number()),
  med: z.number().optional(),
  weight: z.number().optional(),
  origin: z.string().optional(),
  isStale: z.boolean().optional(),
  routerId: z.string().optional(),
  peerAddress: z.string().optional(),
  clusterList: z.array(z.string()).optional(),
  communities: z.array(z.string()).optional(),
  largeCommunities: z.array(z.string()).optional(),
});

const explanationSchema = z.object({
  prefix: z.string(),
  reason: z.string(),
  candidates: z.array(candidateSchema),
});

/** What bgpd answers: every route, all of one prefix, or why there is nothing. */
export const routesAnswer = z.union([z.array(routeSchema), explanationSchema, z.object({ error: z.string() })]);

type Answer = z.output<typeof routesAnswer>;

export type ShownRoute = z.output<typeof routeSchema>;
export type ShownExplanation = z.output<typeof explanationSchema>;

export interface RoutesOptions {
  /** A prefix, or an address: its longest match. Absent: every route. */
  readonly prefix: string | undefined;
  readonly explain: boolean;
  readonly json: boolean;
}

/** Prints the routes; 0, or 1 where there is no such route. Throws `ExitError` where bgpd does not answer, or for usage. */
export async function showRoutes(runFolder: string, { prefix, explain, json }: RoutesOptions): Promise<number> {
  if (explain && prefix === undefined) {
    throw new ExitError(EXIT.usage, 'gingham: routes --explain needs a prefix or an address');
  }
  const path = prefix === undefined ? '/routes' : `/explain?${new URLSearchParams({ prefix }).toString()}`;
  const { body } = answered(await askDaemon(runFolder, 'bgpd', path, ANSWER_MS, 'POST'));
  const answer = routesAnswer.safeParse(parsed(body));
  if (!answer.success) throw new ExitError(EXIT.environment, `gingham: bgpd does not know this: ${clip(body, 100)}`);
  if ('error' in answer.data) {
    process.stderr.write(`gingham: bgpd: ${answer.data.error}\n`);
    return EXIT.internal;
  }
  print(routesAnswer, answer.data, json, (content) => linesOf(content, explain));
  return EXIT.ok;
}

/** One line a route, at most 100 columns. */
export function routeLines(list: readonly ShownRoute[]): readonly string[] {
  const rows = list.map(({ prefix, best, nextHops, candidates, reason }) => [
    prefix,
    clip(best?.from ?? '-', NAME_WIDTH),
    clip(nextHops.join(',') || '-', LIST_WIDTH),
    String(candidates),
    reason,
  ]);
  return narrowTable(['PREFIX', 'BEST FROM', 'NEXT HOPS', 'PATHS', 'DECIDED BY'], rows);
}

/** One line a candidate, the best first, at most 100 columns. */
export function explanationLines({ prefix, candidates }: ShownExplanation): readonly string[] {
  const rows = candidates.map(({ from, nextHop, localPref, asPath, med, weight, isBest, isUsed, lostAt }) => [
    clip(from, NAME_WIDTH),
    nextHop,
    String(localPref),
    clip(asPath.join(' ') || '-', NAME_WIDTH),
    String(med ?? '-'),
    String(weight ?? '-'),
    isBest ? 'best' : isUsed ? 'equal' : 'no',
    lostAt ?? '-',
  ]);
  const details = candidates.flatMap(({ from, detail }) => (detail === undefined ? [] : [`${from}: ${detail}`]));
  return [
    prefix,
    ...narrowTable(['FROM', 'NEXT HOP', 'PREF', 'AS PATH', 'MED', 'WEIGHT', 'USED', 'LOST AT'], rows),
    ...details,
  ];
}

function linesOf(answer: Answer, explain: boolean): readonly string[] {
  if ('error' in answer) return [answer.error];
  if (!('candidates' in answer)) return routeLines(answer);
  return explain ? explanationLines(answer) : routeLines([asRoute(answer)]);
}

function asRoute({ prefix, reason, candidates }: ShownExplanation): ShownRoute {
  const best = candidates.find(({ isBest }) => isBest) ?? null;
  const nextHops = candidates.filter(({ isUsed }) => isUsed).map(({ nextHop }) => nextHop);
  return { prefix, best, nextHops, candidates: candidates.length, reason };
}

/** Addresses of both families may be long: what is too much is cut from the end of the line. */
function narrowTable(header: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return renderTable(header, rows).map((line) => clip(line, TABLE_WIDTH));
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
