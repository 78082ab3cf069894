// Joins BFD, and the links, to the BGP peers: who gets a session, what a change does to theirs, what metrics and /status say.
//
// A peer gets one where its node record offers BFD and ours does. The sessions follow the peers that this node has, not the
// registry: a record that an etcd has lost takes no protection away from a session that stands.

import type { Address } from '../../lib/net/address.ts';
import type { Logger } from '../../lib/run/log.ts';
import type { Metrics } from '../../lib/run/status-server.ts';
import type { BfdState } from '../../lib/wire/bfd.ts';
import type { FaultKind } from '../causes.ts';
import { Liveness, type LivenessStatus, type StartBfdThread } from './liveness.ts';
import type { BfdCounts, BfdReport } from './messages.ts';
import { type BgpStanding, type Reaction, reactionTo, reactionToCarrier, reactionToEnd } from './reaction.ts';
import type { BfdSettings, BfdTimings } from './settings.ts';

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

export interface WatchedPeer extends BgpStanding {
  readonly name: string;
  readonly address: Address;
  /** It is to have a session, with these timings and what is not among them as usual; absent: it offers no BFD. */
  readonly bfd: Partial<BfdTimings> | undefined;
}

export interface PeerWatchOptions {
  readonly settings: BfdSettings;
  readonly startThread: StartBfdThread;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly peers: () => Iterable<WatchedPeer>;
  /** The peer died, or cannot be reached, since that time by the thread's stamp: its session and its stale routes go. */
  readonly end: (name: string, kind: FaultKind, detail: string, detectedUnixUs: bigint) => void;
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
    const { startThread, settings, log } = this.#options;
    const { intervalMs, multiplier, multihopLeastTtl } = settings;
    this.#liveness = new Liveness({
      startThread,
      ...{ address, intervalMs, multiplier, multihopLeastTtl, log },
      changed: (from, report, detectedUnixUs) => this.#changed(from, report, detectedUnixUs),
      carrier: (peer, up, device, detectedUnixUs) => this.#carrier(peer, up, device, detectedUnixUs),
      ended: (peer, detectedUnixUs) => this.#ended(peer, detectedUnixUs),
      counts: this.#count,
    });
    this.follow();
  }

  /** The peers may be others now. */
  follow(): void {
    this.#liveness?.setPeers(new Map([...this.#options.peers()].map(({ address, bfd }) => [address, bfd])));
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
        hops: report.hops,
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
    const { peer, state: to, remoteState, diagnostic, remoteIndependent: independent, remoteIsNew } = report;
    this.#setUp(this.#liveness?.up ?? 0);
    if (from === 'Up' && to === 'Down') this.#countDown();
    const member = this.#memberAt(peer);
    if (member === undefined) return;
    const reaction = reactionTo({ from, to, remoteState, independent, remoteIsNew }, member);
    const reason = DIAGNOSTICS[diagnostic] ?? `diagnostic ${diagnostic}`;
    if (to === 'Up' || from === 'Up')
      this.#options.log.info({ peer: member.name, address: peer, from, to, reason, reaction }, 'BFD session');
    this.#react(member, reaction, 'bfd-down', reason, detectedUnixUs);
  }

  #carrier(peer: Address, up: boolean, device: string, detectedUnixUs: bigint): void {
    const member = this.#memberAt(peer);
    if (member === undefined) return;
    const reaction = reactionToCarrier(up, member);
    this.#options.log.info({ peer: member.name, address: peer, device, up, reaction }, 'link to a peer');
    this.#react(member, reaction, 'link-down', `the link ${device} has no carrier`, detectedUnixUs);
  }

  #ended(peer: Address, detectedUnixUs: bigint): void {
    const member = this.#memberAt(peer);
    if (member === undefined) return;
    const reaction = reactionToEnd(member);
    this.#options.log.info({ peer: member.name, address: peer, reaction }, 'the process of a peer ended');
    this.#react(member, reaction, 'stream-ended', 'the process of the peer ended', detectedUnixUs);
  }

  #memberAt(peer: Address): WatchedPeer | undefined {
    return [...this.#options.peers()].find(({ address }) => address === peer);
  }

  #react({ name }: WatchedPeer, reaction: Reaction, kind: FaultKind, detail: string, detectedUnixUs: bigint): void {
    if (reaction === 'dial') this.#options.dial(name);
    else if (reaction !== 'none') this.#options.end(name, kind, detail, detectedUnixUs);
  }
}
