// Joins BFD to the BGP peers: who gets a session, what a change does to theirs, what metrics and /status say of it.
//
// A peer gets one where its node record offers BFD and ours does. The sessions follow the peers that this node has, not the
// registry: a record that an etcd has lost takes no protection away from a session that stands.

import type { Address } from '../../lib/net/address.ts';
import type { Logger } from '../../lib/run/log.ts';
import type { Metrics } from '../../lib/run/status-server.ts';
import type { BfdState } from '../../lib/wire/bfd.ts';
import { Liveness, type LivenessStatus } from './liveness.ts';
import type { BfdCounts, BfdReport } from './messages.ts';
import { reactionTo } from './reaction.ts';
import type { BfdSettings } from './settings.ts';

/** Names of the diagnostic codes (RFC 5880 section 4.1), in their order. */
const DIAGNOSTICS = [
  'none',
  'detection time expired',
  'echo failed',
  'the peer signaled down',
  'forwarding plane reset',
  'path down',
  'concatenated path down',
  'administratively down',
  'reverse concatenated path down',
];

/** This BFD shares the fate of the process that also is the control plane: we send the C bit clear. */
const INDEPENDENT = false;

export interface WatchedPeer {
  readonly name: string;
  readonly address: Address;
  /** Its record offers BFD. */
  readonly bfd: boolean;
  readonly established: boolean;
}

export interface PeerWatchOptions {
  readonly settings: BfdSettings;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly peers: () => Iterable<WatchedPeer>;
  /** The peer died at that time, by the thread's stamp. */
  readonly end: (name: string, detail: string, detectedUnixUs: bigint) => void;
  /** The peer can be reached. */
  readonly dial: (name: string) => void;
}

export class PeerWatch {
  readonly #options: PeerWatchOptions;
  readonly #count: (counts: BfdCounts) => void;
  readonly #countDown: () => void;
  readonly #setUp: (up: number) => void;
  #liveness: Liveness | undefined;
  #address: Address | undefined;

  constructor(options: PeerWatchOptions) {
    const { metrics } = options;
    this.#options = options;
    const packets = metrics.gauge('bfd_packets', 'BFD packets since the start, by what became of them', ['what']);
    const downs = metrics.counter('bfd_downs_total', 'BFD sessions that were Up and went Down');
    const up = metrics.gauge('bfd_sessions_up', 'BFD sessions that are Up');
    this.#count = (counts) => {
      for (const [what, count] of Object.entries(counts)) packets.set({ what }, count);
    };
    this.#countDown = () => downs.inc();
    this.#setUp = (count) => up.set(count);
  }

  /** What to say in the node record. */
  get offered(): boolean {
    return this.#options.settings.enabled;
  }

  /** Of the thread; `undefined` where BFD is switched off. */
  get status(): LivenessStatus | undefined {
    return this.#liveness?.status;
  }

  /** Runs from this address on, in place of another. */
  start(address: Address): void {
    if (!this.#options.settings.enabled || address === this.#address) return;
    void this.#liveness?.stop();
    this.#address = address;
    const { intervalMs, multiplier } = this.#options.settings;
    this.#liveness = new Liveness({
      address,
      intervalMs,
      multiplier,
      log: this.#options.log,
      changed: (from, report, detectedUnixUs) => this.#changed(from, report, detectedUnixUs),
      counts: this.#count,
    });
    this.follow();
  }

  /** The peers may be others now. */
  follow(): void {
    const offering = [...this.#options.peers()].filter(({ bfd }) => bfd);
    this.#liveness?.setPeers(offering.map(({ address }) => address));
    this.#setUp(this.#liveness?.up ?? 0);
  }

  /** For /status. */
  peerStatus(address: Address): unknown {
    if (this.#liveness === undefined) return { state: 'off' };
    const { report, history } = this.#liveness.session(address);
    const { downs, lastDownUnixUs, lastDiagnostic = 0 } = history;
    return {
      state: report?.state ?? 'Down',
      ...(report !== undefined && {
        remoteState: report.remoteState,
        transmitIntervalMilliseconds: report.transmitIntervalMs,
        detectionTimeMilliseconds: report.detectionTimeMs,
      }),
      downs,
      ...(lastDownUnixUs !== undefined && {
        lastDown: new Date(Number(lastDownUnixUs / 1000n)).toISOString(),
        whyDown: DIAGNOSTICS[lastDiagnostic] ?? `diagnostic ${lastDiagnostic}`,
      }),
    };
  }

  async stop(): Promise<void> {
    await this.#liveness?.stop();
  }

  #changed(from: BfdState, report: BfdReport, detectedUnixUs: bigint): void {
    const { log, peers, end, dial } = this.#options;
    const { peer, state: to, remoteState, diagnostic, remoteIndependent } = report;
    this.#setUp(this.#liveness?.up ?? 0);
    const member = [...peers()].find(({ address }) => address === peer);
    if (from === 'Up' && to === 'Down') this.#countDown();
    if (member === undefined) return;
    const { name, established } = member;
    // No session keeps stale routes: there is no graceful restart in this speaker.
    const standing = { established, keepsStale: false };
    const change = { from, to, remoteState, independent: INDEPENDENT && remoteIndependent };
    const reaction = reactionTo(change, standing);
    const reason = DIAGNOSTICS[diagnostic];
    if (to === 'Up' || from === 'Up')
      log.info({ peer: name, address: peer, from, to, reason, reaction }, 'BFD session');
    if (reaction === 'end') end(name, `${reason}`, detectedUnixUs);
    else if (reaction === 'dial') dial(name);
  }
}
