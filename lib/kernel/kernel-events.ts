// Notifications of the kernel, from one multicast socket to any number of listeners.
//
// The event loop watches the socket, so nothing waits in a thread and `close` takes effect at once. What was lost (the
// receive buffer overran, a message made no sense, the socket had to be opened again) becomes one `resync` event.

import { isNetlinkError } from '../wire/netlink-attributes.ts';
import { KernelError, type KernelEvent, type KernelKind } from './kernel.ts';
import { type DecodedObject, decodeObject, GROUPS } from './kernel-requests.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { watchReadable } from './syscalls.ts';

/** Longest time that one wake-up may keep the event loop. */
const SLICE_MS = 8;
const REOPEN_DELAY_MS = 1_000;

type Listener = (event: KernelEvent) => void;

/** Turns what a message says into an event. */
export type ToEvent = (decoded: DecodedObject) => KernelEvent;

/** A BPF program that keeps some notifications away, as of now; `undefined` for none. */
export type MakeFilter = () => Uint8Array | undefined;

export class KernelEvents {
  readonly #listeners = new Map<object, { readonly kinds: ReadonlySet<KernelKind>; readonly listener: Listener }>();
  readonly #joined = new Set<number>();
  readonly #toEvent: ToEvent;
  readonly #onError: (error: unknown) => void;
  readonly #makeFilter: MakeFilter;
  #socket: { readonly netlink: NetlinkSocket; readonly unwatch: () => void } | undefined;
  #reopening: NodeJS.Timeout | undefined;

  /** `onError` is told of a socket that failed; it is opened again until that works. */
  constructor(toEvent: ToEvent, onError: (error: unknown) => void, makeFilter: MakeFilter = () => undefined) {
    this.#toEvent = toEvent;
    this.#onError = onError;
    this.#makeFilter = makeFilter;
  }

  /** The filter is another one now. */
  renewFilter(): void {
    const program = this.#makeFilter();
    if (program !== undefined) this.#socket?.netlink.filter(program);
  }

  /** Calls `listener` from now on; the returned function ends that. Throws `KernelError` where no socket can be had. */
  subscribe(kinds: readonly KernelKind[], listener: Listener): () => void {
    const key = {};
    for (const group of kinds.flatMap((kind) => GROUPS[kind])) {
      if (!this.#joined.has(group)) this.#socket?.netlink.join(group);
      this.#joined.add(group);
    }
    // After a failure, the next attempt is now and not when the timer says; who listened before has missed something.
    const missed = this.#reopening !== undefined;
    if (this.#socket === undefined) this.#open();
    if (missed) this.#tell({ type: 'resync' });
    this.#listeners.set(key, { kinds: new Set(kinds), listener });
    return () => {
      this.#listeners.delete(key);
      if (this.#listeners.size === 0) this.close();
    };
  }

  /** Ends all subscriptions. */
  close(): void {
    this.#listeners.clear();
    this.#joined.clear();
    this.#stopReopening();
    this.#closeSocket();
  }

  #open(): void {
    const netlink = new NetlinkSocket();
    this.#stopReopening();
    const program = this.#makeFilter();
    if (program !== undefined) netlink.filter(program);
    // A group that the kernel does not know (nexthop objects before Linux 5.3) has nothing to tell.
    for (const group of this.#joined) netlink.join(group);
    this.#socket = { netlink, unwatch: watchReadable(netlink.fd, () => this.#drain(netlink)) };
  }

  #stopReopening(): void {
    clearTimeout(this.#reopening);
    this.#reopening = undefined;
  }

  #closeSocket(): void {
    this.#socket?.unwatch();
    this.#socket?.netlink.close();
    this.#socket = undefined;
  }

  #drain(netlink: NetlinkSocket): void {
    const stopAt = performance.now() + SLICE_MS;
    try {
      // A listener may close everything; what is left after the slice makes the socket readable again.
      while (this.#socket?.netlink === netlink && performance.now() < stopAt) {
        let malformed = false;
        const read = netlink.notifications((bytes, message) => {
          const decoded = decodeObject(bytes, message);
          if (decoded === undefined) return;
          if (isNetlinkError(decoded)) malformed = true;
          else this.#tell(this.#toEvent(decoded));
        });
        if (read === 'none') return;
        if (read === 'lost' || malformed) this.#tell({ type: 'resync' });
      }
    } catch (error) {
      // What a listener throws is not the socket's fault.
      if (!(error instanceof KernelError)) throw error;
      this.#onError(error);
      this.#closeSocket();
      this.#reopen();
    }
  }

  #reopen(): void {
    try {
      this.#open();
    } catch (error) {
      this.#onError(error);
      this.#reopening = setTimeout(() => this.#reopen(), REOPEN_DELAY_MS);
      return;
    }
    this.#tell({ type: 'resync' });
  }

  #tell(event: KernelEvent): void {
    for (const { kinds, listener } of [...this.#listeners.values()]) {
      if (event.type === 'resync' || kinds.has(event.kind)) listener(event);
    }
  }
}
