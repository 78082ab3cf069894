// Connections in memory, in the time of a fake clock: what route-exchange.ts does over gRPC, with faults on command.
//
//   dial ──latency──▶ listening? accept by OPEN : refused      send ──latency──▶ listener of the other end, in order
//
// `breakAll` ends every connection, each side learning of it after its own latency. `silence` makes connections that
// stand swallow everything, in both directions, as a dead link does: neither side is told.

import type { Accept, Connection, ConnectionListener, Dialler, Endpoint } from '../../bgpd/session/connection.ts';
import type { Message } from '../../bgpd/session/message.ts';
import type { Clock } from '../../lib/run/clock.ts';

export class FakeNetwork {
  readonly #clock: Clock;
  readonly #latencyMs: () => number;
  readonly #listening = new Map<string, Accept>();
  readonly #links = new Set<Link>();

  constructor(clock: Clock, latencyMs: () => number) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
  }

  /** Connections that neither side has closed and nothing has broken. */
  get standing(): number {
    return this.#links.size;
  }

  listen(endpoint: Endpoint, accept: Accept): void {
    this.#listening.set(keyOf(endpoint), accept);
  }

  stopListening(endpoint: Endpoint): void {
    this.#listening.delete(keyOf(endpoint));
  }

  breakAll(): void {
    for (const link of [...this.#links]) link.break('broken');
  }

  silence(): void {
    for (const link of this.#links) link.silent = true;
    this.#links.clear();
  }

  dialler(): Dialler {
    return {
      dial: (endpoint, listener) => {
        const link = new Link(this.#clock, this.#latencyMs, (over) => this.#links.delete(over));
        this.#links.add(link);
        link.ends[0].listener = listener;
        link.later(0, () => {
          const accept = this.#listening.get(keyOf(endpoint));
          if (accept === undefined) {
            link.break('connection refused');
            return;
          }
          link.ends[1].listener = greeter(accept, link.ends[1]);
          link.later(1, () => link.ends[0].listener?.connected());
        });
        return link.ends[0];
      },
    };
  }
}

class End implements Connection {
  readonly #link: Link;
  readonly #side: 0 | 1;
  listener: ConnectionListener | undefined;
  closed = false;

  constructor(link: Link, side: 0 | 1) {
    this.#link = link;
    this.#side = side;
  }

  send(...messages: readonly Message[]): boolean {
    const other = this.#link.ends[1 - this.#side] as End;
    for (const message of this.closed ? [] : messages) {
      this.#link.later(this.#side, () => !other.closed && other.listener?.message({ message }));
    }
    return true;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#link.over();
    const other = this.#link.ends[1 - this.#side] as End;
    this.#link.later(this.#side, () => other.lose('the peer ended the connection'));
  }

  lose(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.#link.over();
    this.listener?.closed(reason);
  }
}

class Link {
  readonly ends: readonly [End, End] = [new End(this, 0), new End(this, 1)];
  silent = false;
  readonly over: () => void;
  readonly #clock: Clock;
  readonly #latencyMs: () => number;
  /** When the last thing sent from each side arrives: nothing overtakes it. */
  readonly #arrivalMs: [number, number] = [0, 0];

  constructor(clock: Clock, latencyMs: () => number, over: (link: Link) => void) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
    this.over = () => over(this);
  }

  /** Does something at the other end, after the latency. */
  later(from: 0 | 1, action: () => void): void {
    const nowMs = this.#clock.monotonicMs();
    this.#arrivalMs[from] = Math.max(this.#arrivalMs[from], nowMs + this.#latencyMs());
    this.#clock.after(this.#arrivalMs[from] - nowMs, () => {
      if (!this.silent) action();
    });
  }

  break(reason: string): void {
    this.over();
    for (const side of [0, 1] as const) this.later(side, () => this.ends[1 - side]?.lose(reason));
  }
}

/** The accepting side is anonymous until OPEN. */
function greeter(accept: Accept, end: End): ConnectionListener {
  return {
    connected: () => undefined,
    drained: () => undefined,
    closed: () => undefined,
    message(decoded) {
      const answer = 'message' in decoded && decoded.message.type === 'open' && accept(decoded.message.open, end);
      if (answer === false) return end.close();
      if (!('code' in answer)) {
        end.listener = answer;
        return;
      }
      end.send({ type: 'notification', notification: answer });
      end.close();
    },
  };
}

function keyOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}
