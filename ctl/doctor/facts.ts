// What `gingham doctor` looks at, as plain values: gathered in one go (gather.ts), judged without I/O (checks.ts).
//
// A fact that could not be had is a text with the reason, never a guess.

import type { SubnetEnv } from '../../lib/subnet-env.ts';
import type { Readiness } from '../daemon-http.ts';
import type { BgpdStatus, FelixStatus, FlanneldStatus } from '../daemon-status.ts';

/** What a daemon says of itself; a text says why it does not. */
export interface DaemonFacts<Status> {
  readonly readiness: Readiness | string;
  readonly status: Status | string;
}

export interface LinkFacts {
  readonly name: string;
  readonly mtuBytes: number;
}

/** A route of the main table that is not gingham's. */
export interface ForeignRoute {
  readonly destination: string;
  readonly device: string;
}

/** One member of etcd, asked over HTTP(S). */
export interface EtcdFacts {
  readonly endpoint: string;
  /** Absent where it answered. */
  readonly problem?: string;
  /** Its clock minus ours, in seconds; it tells whole seconds, so half of one either way is nothing. */
  readonly aheadSeconds?: number;
}

/** A certificate in a file that a daemon uses. */
export interface CertificateFacts {
  readonly daemon: string;
  readonly path: string;
  /** ISO 8601; a text in `problem` where it cannot be read. */
  readonly validFrom?: string;
  readonly validTo?: string;
  readonly problem?: string;
}

/** Answers of one other node: over the underlay and through the tunnel, with a small packet and with the largest. */
export interface PathFacts {
  readonly node: string;
  readonly publicIP: string;
  readonly underlay: boolean;
  readonly underlayFull: boolean;
  /** Absent where the backend has no tunnel device. */
  readonly tunnel?: boolean;
  readonly tunnelFull?: boolean;
}

export interface Facts {
  readonly flanneld: DaemonFacts<FlanneldStatus>;
  readonly bgpd: DaemonFacts<BgpdStatus>;
  readonly felix: DaemonFacts<FelixStatus>;
  /** By name as in /proc/sys with dots; absent where there is no such setting. */
  readonly sysctls: Readonly<Record<string, number>>;
  readonly links: readonly LinkFacts[];
  readonly foreignRoutes: readonly ForeignRoute[];
  /** What subnet.env says; a text says what is wrong with it; absent where there is none. */
  readonly subnetEnv: Pick<SubnetEnv, 'mtuBytes' | 'networks'> | string | undefined;
  readonly etcd: readonly EtcdFacts[];
  readonly certificates: readonly CertificateFacts[];
  /** A text says why nobody was pinged. */
  readonly paths: readonly PathFacts[] | string;
  /** Kernel features by name: there, or what was said where they are not. */
  readonly features: Readonly<Record<string, true | string>>;
  /** Base chains of others that drop what is forwarded unless a rule accepts it, such as `nft ip filter FORWARD`. */
  readonly droppingChains: readonly string[];
  /** Ports of the daemons that are bound in this network namespace, such as `tcp 1790`. */
  readonly boundPorts: readonly string[];
  readonly nowMs: number;
}

/** A check's result. What is not `ok` says how it is mended. */
export type Finding =
  | { readonly check: string; readonly state: 'ok'; readonly detail: string }
  | { readonly check: string; readonly state: 'warn' | 'fail'; readonly detail: string; readonly mend: string };
