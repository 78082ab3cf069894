// One watcher of best paths (`gobgp monitor global rib`): what changed and was not sent yet. Not the call itself (server.ts).
//
// Every change is kept in order up to a bound. A watcher for which more would have to wait is ended and told so: it may
// come back and begin with what is there then. Nothing is silently lost, and a slow watcher costs the others nothing.

import type { Prefix } from '../../lib/net/prefix.ts';
import type { RibChange } from '../rib/loc-rib.ts';
import type { Path } from '../rib/path.ts';

/** Changes that may wait for one watcher: two of a table of 250,000 routes. */
export const WATCH_QUEUE_LIMIT = 500_000;

/** Paths of one event. */
const EVENT_PATHS = 64;

/** The best path of a prefix is `path` now, or it was and there is none. */
export interface BestChange {
  readonly prefix: Prefix;
  readonly path: Path;
  readonly isWithdrawn: boolean;
}

/** Changes that came together. */
interface Stretch {
  readonly prefixes: readonly Prefix[];
  readonly path: Path;
  readonly isWithdrawn: boolean;
}

export class RouteWatch {
  readonly #limit: number;
  readonly #onLag: (limit: number) => void;
  #queue: Stretch[] = [];
  #waiting = 0;
  #lagged = false;
  #wake: (() => void) | undefined;

  /** `onLag` is called once, when it was too slow. */
  constructor(onLag: (limit: number) => void, limit: number = WATCH_QUEUE_LIMIT) {
    this.#onLag = onLag;
    this.#limit = limit;
  }

  /** It was too slow and has been given up: what had waited is dropped. */
  get lagged(): boolean {
    return this.#lagged;
  }

  /** Changes that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  push(changes: readonly RibChange[]): void {
    for (const change of changes) {
      if (this.#lagged) return;
      const [before, after] =
        change.type === 'moved'
          ? [change.from?.decision.best, change.to?.decision.best]
          : [change.before.best, change.list.decision.best];
      const path = after ?? before;
      if (path === undefined || isSame(before, after)) continue;
      const prefixes = change.type === 'moved' ? change.prefixes : [...change.list.prefixes];
      this.#add({ prefixes, path, isWithdrawn: after === undefined });
    }
    this.#wakeUp();
  }

  /** Batches of changes in order, as they come; ends when `signal` is aborted or the watcher has lagged. */
  async *batches(signal: AbortSignal): AsyncGenerator<readonly BestChange[]> {
    signal.addEventListener('abort', () => this.#wakeUp(), { once: true });
    while (!signal.aborted && !this.#lagged) {
      const stretches = this.#queue;
      this.#queue = [];
      for (const { prefixes, path, isWithdrawn } of stretches) {
        for (let at = 0; at < prefixes.length && !this.#lagged; at += EVENT_PATHS) {
          const batch = prefixes.slice(at, at + EVENT_PATHS);
          this.#waiting -= batch.length;
          yield batch.map((prefix) => ({ prefix, path, isWithdrawn }));
        }
      }
      if (this.#queue.length > 0 || this.#lagged || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #add(stretch: Stretch): void {
    this.#waiting += stretch.prefixes.length;
    if (this.#waiting <= this.#limit) {
      this.#queue.push(stretch);
      return;
    }
    this.#lagged = true;
    this.#queue = [];
    this.#waiting = 0;
    this.#onLag(this.#limit);
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** A path that was sent again, after a refresh for instance, is another object of the same content. */
function isSame(before: Path | undefined, after: Path | undefined): boolean {
  return before?.attributes === after?.attributes && before?.source.peer === after?.source.peer;
}
