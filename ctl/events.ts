// `gingham events`: what the daemons of this node did last, in the order in which it happened; --follow goes on.
//
// Each daemon keeps its last events and numbers them: what was dropped before it was read is told, never passed over.

import { z } from 'zod';
import { pause, systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { askDaemon, DAEMONS, type DaemonName } from './daemon-http.ts';
import { type Tone, toned } from './tone.ts';

const FOLLOW_MS = 500;

/** Levels of pino from which an event is a warning and an error. */
const WARN = 40;
const ERROR = 50;

const headSchema = z.object({ last: z.number(), dropped: z.number(), atUs: z.number() });
const eventSchema = z.object({
  seq: z.number(),
  atUs: z.number(),
  kind: z.string(),
  fields: z.record(z.string(), z.unknown()),
});

/** What each line of `events --json` is. */
export const eventAnswer = z.object({
  at: z.string(),
  daemon: z.string(),
  /** Number of the event in its daemon; 0 for the note that events were dropped. */
  seq: z.number(),
  kind: z.string(),
  fields: z.record(z.string(), z.unknown()),
});

type EventAnswer = z.infer<typeof eventAnswer>;

export interface EventsOptions {
  readonly follow: boolean;
  readonly json: boolean;
}

/** Prints the events; with `follow` until `signal` aborts. 0. Throws `ExitError` where no daemon answers. */
export async function showEvents(runFolder: string, options: EventsOptions, signal?: AbortSignal): Promise<number> {
  const seen = new Map<DaemonName, number>();
  for (let round = 0; ; round++) {
    const answers = await Promise.all(DAEMONS.map((daemon) => newEvents(runFolder, daemon, seen)));
    const silent = answers.filter((answer) => typeof answer === 'string');
    if (round === 0 && silent.length === DAEMONS.length) {
      throw new ExitError(EXIT.environment, `gingham: ${silent[0]}`);
    }
    const events = answers.flatMap((answer) => (typeof answer === 'string' ? [] : answer));
    for (const event of events.sort((a, b) => a.at.localeCompare(b.at))) {
      process.stdout.write(`${options.json ? JSON.stringify(eventAnswer.parse(event)) : eventLine(event)}\n`);
    }
    if (!options.follow || signal?.aborted) return EXIT.ok;
    await pause(systemClock, FOLLOW_MS, signal);
  }
}

/** One line: time, daemon, what happened, and its fields as name=value. */
export function eventLine({ at, daemon, kind, fields }: EventAnswer): string {
  const { level, ...rest } = fields;
  const told = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return toned([at.slice(11, 23), daemon.padEnd(8), kind, ...told].join(' '), toneOf(level));
}

/** What came since the last call; a text says why nothing can be had. */
async function newEvents(
  runFolder: string,
  daemon: DaemonName,
  seen: Map<DaemonName, number>,
): Promise<readonly EventAnswer[] | string> {
  const since = seen.get(daemon) ?? 0;
  const answer = await askDaemon(runFolder, daemon, `/events?since=${since}`);
  if (typeof answer === 'string') return answer;
  const nowMs = Date.now();
  const [first = '', ...lines] = answer.body.trimEnd().split('\n');
  const head = headSchema.parse(JSON.parse(first));
  // A daemon that was started anew counts from 1 again.
  if (head.last < since) {
    seen.delete(daemon);
    return newEvents(runFolder, daemon, seen);
  }
  seen.set(daemon, head.last);
  const timeOf = (atUs: number): string => new Date(nowMs - (head.atUs - atUs) / 1000).toISOString();
  const events = lines.map((line) => eventSchema.parse(JSON.parse(line)));
  const dropped = since > 0 && head.dropped > 0;
  const note = { at: timeOf(events[0]?.atUs ?? head.atUs), daemon, seq: 0, kind: 'events were dropped' };
  return [
    ...(dropped ? [{ ...note, fields: { count: head.dropped } }] : []),
    ...events.map(({ seq, atUs, kind, fields }) => ({ at: timeOf(atUs), daemon, seq, kind, fields })),
  ];
}

function toneOf(level: unknown): Tone | undefined {
  if (typeof level !== 'number' || level < WARN) return undefined;
  return level < ERROR ? 'doubt' : 'bad';
}
