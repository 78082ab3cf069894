// Keeps one watch alive over a source that can list and can stream: snapshot, then changes, and again after any doubt.
//
// Every reconnection lists afresh instead of resuming at a revision. That costs one listing and covers everything that a
// resumption does not: a compaction, an etcd restored from an older copy (its revision goes back, and a watch "from the
// future" would wait in silence), another cluster behind the same address.
//
// A stream can die without a word (a firewall that forgets it, a member that hangs). So it is asked for a sign of life at
// an interval, and one that owes two answers is given up. The listing is also repeated at long intervals for its own sake.

import { type Backoff, backoffDelayMs } from '../run/backoff.ts';
import { type Clock, pause } from '../run/clock.ts';
import { errorText } from '../run/exit.ts';
import type { RegistryEvent, Snapshot } from './registry.ts';

const RECONNECT: Backoff = { firstMs: 100, capMs: 5_000 };

export interface WatchTimes {
  /** Between two signs of life that are asked for, milliseconds. */
  readonly progressMs: number;
  /** Between two listings of a stream that works, milliseconds; 50 to 100 % of it, so that nodes spread. */
  readonly relistMs: number;
}

export const WATCH_TIMES: WatchTimes = { progressMs: 4_000, relistMs: 300_000 };

/** Why a stream is over: an outage (`reason` in words), or only the need to list again. */
export type StreamEnd = { readonly type: 'failed'; readonly reason: string } | { readonly type: 'compacted' };

export interface StreamSink {
  /** Anything arrived: the other side lives. */
  alive(): void;
  change(event: RegistryEvent): void;
  /** Once; nothing follows it. */
  end(end: StreamEnd): void;
}

export interface WatchStream {
  /** Asks for a sign of life. */
  probe(): void;
  close(): void;
}

export interface WatchSource {
  list(): Promise<Snapshot>;
  /** Streams every change after `revision`. Rejects where no stream can be opened. */
  open(revision: bigint, sink: StreamSink): Promise<WatchStream>;
}

/** Feeds `listener` until `signal` aborts. What `listener` throws comes out as a rejection: it is a bug. */
export async function superviseWatch(
  source: WatchSource,
  listener: (event: RegistryEvent) => void,
  clock: Clock,
  times: WatchTimes,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; !signal.aborted; ) {
    const listed = await source.list().then(
      (snapshot) => ({ type: 'listed', snapshot }) as const,
      (error: unknown) => ({ type: 'failed', reason: errorText(error) }) as const,
    );
    if (signal.aborted) return;
    let end: StreamEnd | 'relist';
    if (listed.type === 'listed') {
      const { snapshot } = listed;
      listener({ type: 'snapshot', snapshot });
      const followedMs = clock.monotonicMs();
      end = await follow(source, snapshot.revision, listener, clock, times, signal);
      if (clock.monotonicMs() - followedMs >= times.progressMs) attempt = 0;
    } else {
      end = listed;
    }
    if (signal.aborted) return;
    if (end === 'relist') continue;
    if (end.type === 'failed') listener({ type: 'disconnected', reason: end.reason });
    await pause(clock, backoffDelayMs(RECONNECT, attempt++), signal);
  }
}

/** Follows one stream to its end. */
async function follow(
  source: WatchSource,
  revision: bigint,
  listener: (event: RegistryEvent) => void,
  clock: Clock,
  times: WatchTimes,
  signal: AbortSignal,
): Promise<StreamEnd | 'relist'> {
  const relistAtMs = clock.monotonicMs() + times.relistMs * (0.5 + Math.random() / 2);
  let stream: WatchStream | undefined;
  let owedAnswers = 0;
  let cancelTimer: () => void = () => undefined;
  let over = false;
  let resolveEnd: (end: StreamEnd | 'relist') => void = () => undefined;
  const ended = new Promise<StreamEnd | 'relist'>((resolve) => {
    resolveEnd = resolve;
  });
  const finish = (end: StreamEnd | 'relist'): void => {
    over = true;
    resolveEnd(end);
  };
  const sink: StreamSink = {
    alive() {
      owedAnswers = 0;
    },
    change(event) {
      if (!over && !signal.aborted) listener(event);
    },
    end: finish,
  };
  const tick = (): void => {
    if (clock.monotonicMs() >= relistAtMs) finish('relist');
    else if (owedAnswers >= 2) finish({ type: 'failed', reason: 'the watch stream gave no sign of life' });
    else {
      owedAnswers++;
      stream?.probe();
      cancelTimer = clock.after(times.progressMs, tick);
    }
  };
  const aborted = (): void => finish('relist');
  signal.addEventListener('abort', aborted, { once: true });
  cancelTimer = clock.after(times.progressMs, tick);
  source.open(revision, sink).then(
    (opened) => {
      stream = opened;
      if (over) opened.close();
    },
    (error: unknown) => finish({ type: 'failed', reason: errorText(error) }),
  );
  const end = await ended;
  cancelTimer();
  signal.removeEventListener('abort', aborted);
  stream?.close();
  return end;
}
