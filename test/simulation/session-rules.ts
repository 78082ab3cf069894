// What must hold of every stream at every moment, seen from outside: the order of messages, the hold timer, the keepalives.
// It also counts and signs all that arrives: two runs of one seed have the same signature.
//
// Nothing here knows the state machine of production; it reads what the two ends say to each other.

import { createHash } from 'node:crypto';
import type { Message } from '../../bgpd/session/message.ts';
import { GRPC_HEADER_BYTES } from './frames.ts';
import type { SimNetwork, StreamWatcher } from './network.ts';
import type { StreamEnd } from './stream-link.ts';
import type { VirtualTime } from './virtual-time.ts';

/** A timer may be this late: the turns of an event loop, and what a process that wakes up reads first. */
const SLACK_MS = 500;

interface Seen {
  sentOpen: boolean;
  sentKeepalive: boolean;
  gotOpen: boolean;
  gotKeepalive: boolean;
  notified: boolean;
  holdSeconds: number;
  lastSentMs: number;
  lastArrivedMs: number;
  readonly endOfRib: Set<number>;
}

export interface RulesOptions {
  readonly time: VirtualTime;
  readonly violated: (what: string) => void;
  /** How fast the clocks of a host run. */
  readonly rateOf: (host: string) => number;
}

export class SessionRules implements StreamWatcher {
  readonly #options: RulesOptions;
  readonly #seen = new WeakMap<StreamEnd, Seen>();
  readonly #signature = createHash('sha256');
  /** By type, as they arrived. */
  readonly counts = new Map<Message['type'], number>();
  /** With gRPC's header, as they were sent. */
  bytes = 0;
  /** When anything but a keepalive last arrived, ms. */
  lastNewsMs = 0;

  constructor(options: RulesOptions) {
    this.#options = options;
  }

  sent(end: StreamEnd, message: Message, bytes: number): void {
    const seen = this.#of(end);
    const complain = (what: string): void =>
      this.#options.violated(`${end.host} to ${end.other.host}: ${message.type} ${what}`);
    this.bytes += bytes + GRPC_HEADER_BYTES;
    if (seen.notified) complain('after NOTIFICATION');
    if (!seen.sentOpen && message.type !== 'open' && message.type !== 'notification') complain('before OPEN');
    switch (message.type) {
      case 'open':
        if (seen.sentOpen) complain('sent twice');
        seen.sentOpen = true;
        seen.holdSeconds = Math.min(seen.holdSeconds, message.open.holdTimeSeconds);
        break;
      case 'keepalive':
        if (!seen.gotOpen) complain("before the peer's OPEN");
        seen.sentKeepalive = true;
        break;
      case 'notification':
        seen.notified = true;
        break;
      default:
        if (!isEstablished(seen)) complain('before the session was established');
        this.#checkContent(seen, message, complain);
    }
    seen.lastSentMs = this.#options.time.nowMs;
  }

  arrived(end: StreamEnd, message: Message): void {
    const seen = this.#of(end);
    const { nowMs } = this.#options.time;
    seen.lastArrivedMs = nowMs;
    if (message.type === 'open') {
      seen.gotOpen = true;
      seen.holdSeconds = Math.min(seen.holdSeconds, message.open.holdTimeSeconds);
    }
    if (message.type === 'keepalive') seen.gotKeepalive = true;
    else this.lastNewsMs = nowMs;
    this.counts.set(message.type, (this.counts.get(message.type) ?? 0) + 1);
    this.note(`${end.other.host}>${end.host} ${textOf(message)}`);
  }

  /** Adds to the signature something that happened now. */
  note(what: string): void {
    this.#signature.update(`${this.#options.time.nowMs} ${what}\n`);
  }

  /** Of all that arrived and was noted; ends the run. */
  signature(): string {
    return this.#signature.digest('hex').slice(0, 16);
  }

  /** To be called now and then: a session that fell silent has ended in time, and no end forgets its keepalives. */
  checkTimers(network: SimNetwork): void {
    const { time, rateOf, violated } = this.#options;
    for (const end of [...network.links].flatMap(({ ends }) => ends)) {
      const seen = this.#seen.get(end);
      if (seen === undefined || end.closed || !end.process?.alive || !isEstablished(seen)) continue;
      if (seen.holdSeconds === 0 || end.process.stalledUntilMs + SLACK_MS > time.nowMs) continue;
      const rate = rateOf(end.host);
      const silentMs = (time.nowMs - seen.lastArrivedMs) * rate;
      if (silentMs > seen.holdSeconds * 1_000 + SLACK_MS && time.nowMs - end.process.stalledUntilMs > SLACK_MS) {
        violated(`${end.host}: ${end.other.host} silent for ${Math.round(silentMs)} ms, hold ${seen.holdSeconds} s`);
      }
      const quietMs = (time.nowMs - Math.max(seen.lastSentMs, end.process.stalledUntilMs)) * rate;
      if (quietMs > (seen.holdSeconds * 1_000) / 3 + SLACK_MS) {
        violated(`${end.host}: has told ${end.other.host} nothing for ${Math.round(quietMs)} ms`);
      }
    }
  }

  #checkContent(seen: Seen, message: Message, complain: (what: string) => void): void {
    switch (message.type) {
      case 'update': {
        const { announced, withdrawn, attributes } = message.update;
        if (announced.length + withdrawn.length === 0) complain('with nothing in it');
        if (announced.length > 0 && attributes === undefined) complain('announces without attributes');
        if (announced.some((prefix) => withdrawn.includes(prefix))) complain('announces and withdraws the same');
        break;
      }
      case 'end-of-rib':
        if (seen.endOfRib.has(message.family)) complain('sent twice');
        seen.endOfRib.add(message.family);
        break;
      default:
        break;
    }
  }

  #of(end: StreamEnd): Seen {
    const known = this.#seen.get(end);
    if (known !== undefined) return known;
    const fresh: Seen = {
      ...{ sentOpen: false, sentKeepalive: false, gotOpen: false, gotKeepalive: false, notified: false },
      ...{ holdSeconds: Number.POSITIVE_INFINITY, lastSentMs: 0, lastArrivedMs: 0, endOfRib: new Set<number>() },
    };
    this.#seen.set(end, fresh);
    return fresh;
  }
}

/** As far as the messages tell. */
function isEstablished({ sentOpen, sentKeepalive, gotOpen, gotKeepalive }: Seen): boolean {
  return sentOpen && sentKeepalive && gotOpen && gotKeepalive;
}

/** What counts of a message: causes are stamps of processes, and no part of it. */
function textOf(message: Message): string {
  switch (message.type) {
    case 'update': {
      const { announced, withdrawn, attributes } = message.update;
      return `update +${announced.join()} -${withdrawn.join()} ${JSON.stringify(attributes)}`;
    }
    case 'notification':
      return `notification ${message.notification.code}/${message.notification.subcode}`;
    default:
      return message.type;
  }
}
