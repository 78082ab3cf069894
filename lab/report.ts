// The lab's answers: the table for people and the same facts as JSON.
//
// Pure: facts in, lines or a plain object out.

import { UNKNOWN } from '../ctl/daemon-status.ts';
import type { PingReport } from '../ctl/pod-ping.ts';
import { renderTable } from '../ctl/table.ts';
import { expectedPeers, type NodeView } from './observe.ts';
import { type LabOptions, optionsText } from './options.ts';
import type { Topology } from './topology.ts';
import type { YamlSource } from './yaml-file.ts';

/** What `status --json` prints. */
export interface StatusReport {
  readonly lab: string;
  readonly options: Topology['options'];
  readonly ready: boolean;
  /** One line for each node with something missing. */
  readonly missing: readonly string[];
  readonly nodes: readonly {
    readonly node: string;
    readonly underlay: string;
    readonly subnet: string | null;
    readonly backend: string;
    /** `null` where the daemon that knows does not say. */
    readonly peersUp: number | null;
    readonly peersExpected: number;
    readonly routes: number;
    readonly daemons: readonly {
      readonly daemon: string;
      /** `null` where it does not run. */
      readonly pid: number | null;
      readonly ready: boolean;
      readonly reason: string;
    }[];
  }[];
}

/** The facts of `views` as JSON. */
export function statusReport(topology: Topology, views: readonly NodeView[], missing: readonly string[]): StatusReport {
  return {
    lab: topology.lab,
    options: topology.options,
    ready: missing.length === 0,
    missing,
    nodes: views.map(({ node, subnet, daemons, routes, peers }) => ({
      node: node.name,
      underlay: node.link.address,
      subnet: subnet?.subnet ?? null,
      backend: node.backend,
      peersUp: peers?.up ?? null,
      peersExpected: topology.nodes.length - 1,
      routes: routes.length,
      daemons: daemons.map(({ daemon, process, ready, reason }) => ({
        daemon,
        pid: process?.pid ?? null,
        ready,
        reason,
      })),
    })),
  };
}

/** One line a node; the pods column only where there was a ping. */
export function statusTable(views: readonly NodeView[], pings?: PingReport): readonly string[] {
  const header = ['NODE', 'UNDERLAY', 'SUBNET', 'BACKEND', 'PEERS UP', 'ROUTES', 'READY'];
  const rows = views.map((view) => {
    const { node, subnet, daemons, routes, peers } = view;
    const expected = expectedPeers(
      view,
      views.filter((other) => other !== view),
    );
    const unready = daemons.filter((view) => !view.ready).map((view) => view.daemon);
    return [
      node.name,
      node.link.address,
      subnet?.subnet ?? UNKNOWN,
      node.backend,
      `${peers?.up ?? UNKNOWN}/${expected}`,
      String(routes.length),
      unready.length === 0 ? 'yes' : `not ${unready.join(', ')}`,
      ...(pings === undefined ? [] : [podsCell(node.name, pings)]),
    ];
  });
  return renderTable(pings === undefined ? header : [...header, 'POD TO POD'], rows);
}

/** The pairs that lost packets, one line each, at most `limit` of them. */
export function lossLines(report: PingReport, limit = 10): readonly string[] {
  const lost = report.results.filter((result) => result.received < result.sent);
  const lines = lost.slice(0, limit).map(({ from, to, address, sent, received, error }) => {
    const reason = error === undefined ? `${received} of ${sent} answered` : error;
    return `${from} -> ${to} (${address}): ${reason}`;
  });
  return lost.length > limit ? [...lines, `and ${lost.length - limit} more`] : lines;
}

/** `lab default: --nodes 3 --backend vxlan --mode routed`. */
export function labTitle(topology: Topology): string {
  return `lab ${topology.lab}: ${shapeText(topology.options, topology.source)}`;
}

/** What one would type to get such a lab. */
export function shapeText(options: LabOptions, source: YamlSource | undefined): string {
  return source === undefined ? optionsText(options) : `--topology ${source.path}`;
}

function podsCell(node: string, pings: PingReport): string {
  const own = pings.results.filter((result) => result.from === node);
  const answered = own.filter((result) => result.received === result.sent);
  const times = answered.flatMap((result) => result.rttMs ?? []);
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
  const text = `${answered.length}/${own.length}`;
  return times.length === 0 ? text : `${text}, ${mean.toFixed(2)} ms`;
}
