// Collects the events of all daemons over a run: `/events` of their status sockets, from where the run began.
//
// A daemon that was started anew has begun to count anew, so that all of its events are of the run. What a daemon that was
// killed had not been asked for is gone with it, which is looked at every so often to keep that short.

import { z } from 'zod';
import type { DaemonName } from '../../ctl/daemon-http.ts';
import type { ClusterDriver, ClusterNode } from './cluster-driver.ts';

const headSchema = z.object({ last: z.number(), dropped: z.number() });
const eventSchema = z.object({
  seq: z.number(),
  atUs: z.number(),
  kind: z.string(),
  fields: z.record(z.string(), z.unknown()),
});

/** An event as the daemon told it. */
export interface DaemonEvent {
  readonly node: string;
  readonly daemon: DaemonName;
  readonly atUs: number;
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** More than any number that a daemon has given. */
const NOTHING_SINCE = Number.MAX_SAFE_INTEGER;

export class EventCollector {
  readonly #driver: ClusterDriver;
  readonly #daemons: readonly { readonly node: string; readonly daemon: DaemonName }[];
  readonly #seen = new Map<string, number>();
  readonly #events: DaemonEvent[] = [];
  #dropped = 0;

  constructor(driver: ClusterDriver, nodes: readonly ClusterNode[]) {
    this.#driver = driver;
    this.#daemons = nodes.flatMap(({ name, daemons }) => daemons.map((daemon) => ({ node: name, daemon })));
  }

  /** What was until now is not of the run. */
  async begin(): Promise<void> {
    await this.#each(async (node, daemon) => {
      const { head } = parse(await this.#driver.ask(node, daemon, `/events?since=${NOTHING_SINCE}`));
      if (head !== undefined) this.#seen.set(`${node}/${daemon}`, head.last);
    });
  }

  /** Takes what has come since. */
  async collect(): Promise<void> {
    await this.#each(async (node, daemon) => {
      const name = `${node}/${daemon}`;
      const since = this.#seen.get(name) ?? 0;
      let answer = parse(await this.#driver.ask(node, daemon, `/events?since=${since}`));
      if (answer.head === undefined) return;
      // It counts from 1 again: another process.
      if (answer.head.last < since) answer = parse(await this.#driver.ask(node, daemon, '/events?since=0'));
      if (answer.head === undefined) return;
      this.#dropped += answer.head.dropped;
      this.#seen.set(name, answer.head.last);
      for (const { atUs, kind, fields } of answer.events) this.#events.push({ node, daemon, atUs, kind, fields });
    });
  }

  /** All so far, oldest first, and how many are known to be missing. */
  all(): { readonly events: readonly DaemonEvent[]; readonly dropped: number } {
    return { events: this.#events.toSorted((a, b) => a.atUs - b.atUs), dropped: this.#dropped };
  }

  async #each(work: (node: string, daemon: DaemonName) => Promise<void>): Promise<void> {
    await Promise.all(this.#daemons.map(({ node, daemon }) => work(node, daemon)));
  }
}

function parse(answer: string | { readonly status: number; readonly body: string }) {
  // A daemon that does not answer is down or stopped: the scenario's doing.
  if (typeof answer === 'string' || answer.status !== 200) return { head: undefined, events: [] };
  const [first = '{}', ...lines] = answer.body.split('\n').filter((line) => line !== '');
  return {
    head: headSchema.parse(JSON.parse(first)),
    events: lines.map((line) => eventSchema.parse(JSON.parse(line))),
  };
}
