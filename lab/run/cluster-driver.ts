// What a scenario needs of a running cluster, whatever it runs in: namespaces of this machine (netns) or containers
// (compose). Not how a step is done: lab/run/actions.ts does every step by these few calls.
//
// Places and processes have the names of the command line: `node1`, `node1/pod`, `router`, `etcd`; `node1/bgpd`, `etcd`.

import type { ChildProcess } from 'node:child_process';
import type { DaemonAnswer, DaemonName } from '../../ctl/daemon-http.ts';
import type { Address } from '../../lib/net/address.ts';
import type { ImpairedBy } from '../link/impair-end.ts';
import type { LinkEnd } from '../link-ends.ts';
import type { TopologyPicture } from '../results/results-schema.ts';

/** A node of the cluster as scenarios see it. */
export interface ClusterNode {
  readonly name: string;
  /** Underlay address that the other nodes send to. */
  readonly address: Address;
  /** Address of its one pod; `undefined` while it has no subnet. */
  readonly pod: Address | undefined;
  readonly daemons: readonly DaemonName[];
  /** Tunnel device of its backend, `flannel.1`; `undefined` where there is none (host-gw). */
  readonly tunnelDevice: string | undefined;
}

/** What is known of a cluster without asking it. */
export interface ClusterFacts {
  readonly driver: 'netns' | 'compose';
  readonly picture: TopologyPicture;
  /** Folder of the compiled program, and the Node.js that runs it, as seen in every place of the cluster. */
  readonly programFolder: string;
  readonly nodeBinary: string;
  /** Names of the etcd members, which are also places and processes. */
  readonly etcdMembers: readonly string[];
  /** The interfaces of each link, by its name. */
  readonly linkEnds: ReadonlyMap<string, readonly LinkEnd[]>;
  /** By what the links are impaired that the topology impairs. */
  readonly impairment: ImpairedBy;
  /** Where each member keeps its data, as seen in its place. */
  readonly etcdDataFolders: readonly string[];
  /** etcd's client endpoints as nodes use them. */
  readonly etcdEndpoints: readonly string[];
  /** Largest disagreement of the monotonic clocks of two places, ms; 0 where they are one. */
  readonly clockErrorMs: number;
}

/** A running cluster under test. Every call rejects with `CommandError` or `ExitError` where it could not be done. */
export interface ClusterDriver {
  readonly facts: ClusterFacts;
  /** The nodes as they are now: pods get their addresses from leases, which may change. */
  nodes(): Promise<readonly ClusterNode[]>;
  /** Runs a program in a place to its end and gives its output. `input` goes to its standard input. */
  run(place: string, argv: readonly string[], input?: string): Promise<string>;
  /** Starts a program in a place, standard streams piped; killing the child ends the program. */
  spawn(place: string, argv: readonly string[]): ChildProcess;
  /** Sends a signal to a daemon or an etcd member; one that ends it is waited for. */
  signal(process: string, signal: NodeJS.Signals): Promise<void>;
  /** Starts a process that has ended, with flags beyond its usual ones; it need not be ready yet. */
  start(process: string, extraFlags?: readonly string[]): Promise<void>;
  /** Pulls or plugs the cable of a link: both ends lose carrier, addresses and routes stay as the kernel leaves them. */
  setLink(link: string, up: boolean): Promise<void>;
  /** Asks a daemon over its status socket; a text says why there was no answer. */
  ask(node: string, daemon: DaemonName, path: string, method?: 'GET' | 'POST'): Promise<DaemonAnswer | string>;
  /** What is not as in a healthy, converged cluster, one line each; empty where all is well. */
  missing(): Promise<readonly string[]>;
}

/** Reading logs is beside the driver, so that it stays within reach of a page. */
export interface ClusterLogs {
  /** Length of each process's log, by process, to begin from. */
  logMarks(): Promise<ReadonlyMap<string, number>>;
  /** Lines at `error` or above since the marks: `node1/felix: message`. */
  errorsSince(marks: ReadonlyMap<string, number>): Promise<readonly string[]>;
}
