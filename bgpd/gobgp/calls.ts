// How handlers become calls of gRPC: errors become statuses, and a stream is written no faster than it is read.
//
// A handler of a stream is an async generator: it is asked for the next message when there is room for it, and left where
// it stands when the caller is gone.

import { once } from 'node:events';
import { type ServerUnaryCall, type ServerWritableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import { Refusal } from './refusal.ts';

/** Streams (listings, watchers) at a time; a command that asks for more is told so. */
export const STREAMS_MAX = 64;

/** What a stream's handler gets besides the request. */
export interface StreamContext {
  /** Aborted when the caller is gone or the call was ended. */
  readonly signal: AbortSignal;
  /** Ends the call now, whether it is being read or not. */
  readonly fail: (why: Refusal) => void;
}

export class Calls {
  readonly #log: Logger;
  readonly #open = new Set<(why: Refusal) => void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  unary<I, O>(handle: (request: I) => O): (call: ServerUnaryCall<I, O>, done: sendUnaryData<O>) => void {
    return ({ request }, done) => {
      try {
        done(null, handle(request));
      } catch (error) {
        done(this.#statusOf(error));
      }
    };
  }

  stream<I, O>(
    handle: (request: I, context: StreamContext) => AsyncIterable<O> | Iterable<O>,
  ): (call: ServerWritableStream<I, O>) => void {
    return (call) => {
      if (this.#open.size >= STREAMS_MAX) {
        call.emit(
          'error',
          this.#statusOf(new Refusal('RESOURCE_EXHAUSTED', `${STREAMS_MAX} streams are open already`)),
        );
        return;
      }
      const ended = new AbortController();
      const fail = (why: unknown): void => {
        if (ended.signal.aborted) return;
        ended.abort();
        call.emit('error', this.#statusOf(why));
      };
      this.#open.add(fail);
      for (const event of ['cancelled', 'close']) call.on(event, () => ended.abort());
      this.#pump(call, (request) => handle(request, { signal: ended.signal, fail }), ended.signal)
        .catch(fail)
        .finally(() => this.#open.delete(fail));
    };
  }

  /** Ends every stream, telling its caller why. */
  end(why: Refusal): void {
    for (const fail of [...this.#open]) fail(why);
  }

  async #pump<I, O>(
    call: ServerWritableStream<I, O>,
    handle: (request: I) => AsyncIterable<O> | Iterable<O>,
    signal: AbortSignal,
  ): Promise<void> {
    for await (const message of handle(call.request)) {
      if (signal.aborted) return;
      if (!call.write(message)) await drained(call, signal);
      if (signal.aborted) return;
    }
    if (!signal.aborted) call.end();
  }

  #statusOf(error: unknown): { readonly code: status; readonly details: string } {
    if (error instanceof Refusal) return { code: error.code, details: error.message };
    this.#log.error({ error }, 'a call of the GoBGP API failed');
    return { code: status.INTERNAL, details: errorText(error) };
  }
}

async function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  await once(call, 'drain', { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
