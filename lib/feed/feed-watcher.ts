// One watcher's end of a served feed: a bounded queue of events, written as fast as the watcher reads them. Not the
// transport: `send` is any function that says whether there is room for more.
//
// The snapshot is taken when the watcher comes and later events queue behind it, so the order is always right. Long
// events are cut into messages and the event loop turns between them: 100,000 routes delay nothing else.

import type { FeedEvent } from './feed.ts';
import { splitFeedEvent } from './feed-codec.ts';

/** Prefixes after which the event loop is given a turn. */
const SLICE_PREFIXES = 4_096;

export interface FeedWatcherOptions {
  /** Sends one event; false where the next must wait for `drained`. */
  readonly send: (event: FeedEvent) => boolean;
  /** The queue is full: nothing will be sent any more. Called once. */
  readonly overflowed: () => void;
  /** Most that may wait, counted as one for an event and one for each prefix in it; the snapshot does not count. */
  readonly queueLimit: number;
}

export class FeedWatcher {
  readonly #options: FeedWatcherOptions;
  #queue: FeedEvent[] = [];
  /** Index of the next event to send. */
  #next = 0;
  /** Events of the snapshot that are still to be sent: they come first and do not count. */
  #snapshotLeft: number;
  #queued = 0;
  #blocked = false;
  #scheduled = false;
  #ended = false;

  constructor(snapshot: readonly FeedEvent[], options: FeedWatcherOptions) {
    this.#options = options;
    for (const event of snapshot) this.#queue.push(...splitFeedEvent(event));
    this.#snapshotLeft = this.#queue.length;
    this.#schedule();
  }

  /** What waits, in the unit of `queueLimit`. */
  get queued(): number {
    return this.#queued;
  }

  /** Queues one event. */
  push(event: FeedEvent): void {
    if (this.#ended) return;
    const parts = splitFeedEvent(event);
    for (const part of parts) this.#queued += weightOf(part);
    if (this.#queued > this.#options.queueLimit) {
      this.end();
      this.#options.overflowed();
      return;
    }
    this.#queue.push(...parts);
    this.#schedule();
  }

  /** There is room again after `send` said that there was none. */
  drained(): void {
    this.#blocked = false;
    this.#schedule();
  }

  /** Nothing is sent any more. */
  end(): void {
    this.#ended = true;
    this.#queue = [];
    this.#next = 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#blocked || this.#ended) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    let slice = 0;
    while (!this.#ended && !this.#blocked && slice < SLICE_PREFIXES) {
      const event = this.#queue[this.#next];
      if (event === undefined) break;
      this.#next++;
      slice += weightOf(event);
      if (this.#snapshotLeft > 0) this.#snapshotLeft--;
      else this.#queued -= weightOf(event);
      if (!this.#options.send(event)) this.#blocked = true;
    }
    // Forget what was sent, but not one shift() each: that moves the whole queue every time.
    if (this.#next * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#next);
      this.#next = 0;
    }
    if (this.#queue.length > 0) this.#schedule();
  }
}

function weightOf(event: FeedEvent): number {
  return event.type === 'routes' || event.type === 'withdrawn' ? 1 + event.prefixes.length : 1;
}
