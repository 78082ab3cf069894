// BFD as the rest of bgpd sees it: peers in, "this one died, seen at" out, and the same of the links that lead to them. The
// sessions live in a thread (worker.ts).
//
// A node whose thread cannot run (the port is taken) goes on without BFD and says so: stream end and hold timer remain.

import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Address } from '../../lib/net/address.ts';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import type { BfdState } from '../../lib/wire/bfd.ts';
import type { BfdCommand, BfdCounts, BfdReport, BfdWorkerData, BfdWorkerEvent } from './messages.ts';
import type { BfdTimings } from './settings.ts';

const SCRIPT = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);

/** How often a peer died by BFD, and when last. */
export interface BfdHistory {
  readonly downs: number;
  /** Microseconds since the Unix epoch. */
  readonly lastDownUnixUs?: bigint;
  /** RFC 5880 section 4.1 diagnostic of the last one. */
  readonly lastDiagnostic?: number;
}

/** The thread, seen from here. */
export interface BfdThread {
  say(command: BfdCommand): void;
  readonly ended: Promise<void>;
}

/** Starts one; `failed` where it ends by an error of its own. */
export type StartBfdThread = (
  data: BfdWorkerData,
  take: (event: BfdWorkerEvent) => void,
  failed: (detail: string) => void,
) => BfdThread;

export interface LivenessOptions extends BfdWorkerData {
  readonly startThread: StartBfdThread;
  readonly log: Logger;
  /** A session changed; `detectedUnixUs` is the thread's stamp. */
  readonly changed: (from: BfdState, report: BfdReport, detectedUnixUs: bigint) => void;
  /** The link to a peer lost its carrier, or has it again; stamped by the thread too. */
  readonly carrier: (peer: Address, up: boolean, device: string, detectedUnixUs: bigint) => void;
  /** The process of a peer is no more; stamped by the thread too. */
  readonly ended: (peer: Address, detectedUnixUs: bigint) => void;
  readonly counts: (counts: BfdCounts) => void;
}

export interface LivenessStatus {
  readonly state: 'starting' | 'running' | 'failed' | 'stopped';
  readonly detail?: string;
}

/** The real one: worker.ts in a thread of this process. */
export const startBfdThread: StartBfdThread = (workerData, take, failed) => {
  // A heap of its own that is small: its collections are short.
  const resourceLimits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };
  const worker = new Worker(SCRIPT, { workerData, name: 'bfd', resourceLimits });
  worker.on('message', take);
  worker.on('error', (error) => failed(errorText(error)));
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  return { say: (command) => worker.postMessage(command), ended };
};

export class Liveness {
  readonly #options: LivenessOptions;
  readonly #thread: BfdThread;
  readonly #reports = new Map<Address, BfdReport>();
  readonly #histories = new Map<Address, BfdHistory>();
  #peers = '';
  #offering: ReadonlySet<Address> = new Set();
  #status: LivenessStatus = { state: 'starting' };

  /** Starts the thread. */
  constructor(options: LivenessOptions) {
    this.#options = options;
    const { address, intervalMs, multiplier, multihopLeastTtl, startThread } = options;
    this.#thread = startThread(
      { address, intervalMs, multiplier, multihopLeastTtl },
      (event) => this.#take(event),
      (detail) => this.#fail(detail),
    );
  }

  get status(): LivenessStatus {
    return this.#status;
  }

  /** The session with the peer of this address, as last heard; its history survives the session. */
  session(peer: Address): { readonly report: BfdReport | undefined; readonly history: BfdHistory } {
    return { report: this.#reports.get(peer), history: this.#histories.get(peer) ?? { downs: 0 } };
  }

  /** Sessions that are Up. */
  get up(): number {
    return [...this.#reports.values()].filter(({ state }) => state === 'Up').length;
  }

  /** Peers whose links are watched from now on; those with timings are to have a session, with what is not said as usual. */
  setPeers(peers: ReadonlyMap<Address, Partial<BfdTimings> | undefined>): void {
    const { intervalMs, multiplier } = this.#options;
    const usual: BfdTimings = { transmitMs: intervalMs, receiveMs: intervalMs, multiplier };
    const sorted = [...peers].sort(([a], [b]) => (a < b ? -1 : 1));
    const text = JSON.stringify(sorted);
    if (text === this.#peers) return;
    this.#peers = text;
    for (const peer of this.#reports.keys()) if (peers.get(peer) === undefined) this.#reports.delete(peer);
    this.#offering = new Set(sorted.flatMap(([peer, own]) => (own === undefined ? [] : [peer])));
    const special = sorted.flatMap(([peer, own = {}]) =>
      Object.keys(own).length === 0 ? [] : [[peer, { ...usual, ...own }] as const],
    );
    const addresses = sorted.map(([peer]) => peer);
    this.#say({ type: 'peers', addresses, offering: [...this.#offering], timings: new Map(special) });
  }

  /** Tells the peers that BFD is switched off here, so that they do not take this node for dead; ends the thread. */
  async stop(): Promise<void> {
    if (this.#status.state !== 'failed') this.#status = { state: 'stopped' };
    this.#say({ type: 'close' });
    await this.#thread.ended;
  }

  #say(command: BfdCommand): void {
    this.#thread.say(command);
  }

  #take(event: BfdWorkerEvent): void {
    const { log, changed, counts, carrier, ended } = this.#options;
    if (this.#status.state === 'stopped') return;
    switch (event.type) {
      case 'opened':
        this.#status = { state: 'running' };
        log.info({ address: this.#options.address }, 'BFD runs');
        break;
      case 'refused':
        this.#fail(event.message);
        break;
      case 'counts':
        counts(event.counts);
        break;
      case 'carrier':
        carrier(event.peer, event.up, event.device, event.detectedUnixUs);
        break;
      case 'ended':
        ended(event.peer, event.detectedUnixUs);
        break;
      case 'negotiated':
        if (this.#offering.has(event.report.peer)) this.#reports.set(event.report.peer, event.report);
        break;
      case 'changed':
        // A session that ended here says a last word; it is of the past.
        if (event.report.state === 'AdminDown' || !this.#offering.has(event.report.peer)) break;
        this.#remember(event.from, event.report, event.detectedUnixUs);
        changed(event.from, event.report, event.detectedUnixUs);
        break;
    }
  }

  #remember(from: BfdState, report: BfdReport, detectedUnixUs: bigint): void {
    const { peer, state, diagnostic } = report;
    this.#reports.set(peer, report);
    if (from !== 'Up' || state !== 'Down') return;
    const downs = (this.#histories.get(peer)?.downs ?? 0) + 1;
    this.#histories.set(peer, { downs, lastDownUnixUs: detectedUnixUs, lastDiagnostic: diagnostic });
  }

  #fail(detail: string): void {
    if (this.#status.state === 'stopped') return;
    this.#status = { state: 'failed', detail };
    this.#options.log.error(
      { reason: detail },
      'BFD does not run: only the hold timer finds a peer that died in silence',
    );
  }
}
