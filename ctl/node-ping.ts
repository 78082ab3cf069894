// `gingham ping`: from the pod of this node to the pods of all other nodes.
//
// Which nodes there are is flanneld's to say; where this node's pod is, the run folder's files.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { parseSubnetEnv, podAddress } from '../lib/subnet-env.ts';
import { readOverlayPeers } from './daemon-status.ts';
import { type PingReport, pingFromPod, pingReport } from './pod-ping.ts';
import { findPod } from './pod-place.ts';
import { renderTable } from './table.ts';

/** Pings; 0 when no pair lost a packet, else 1. Throws `ExitError` where there is no pod or flanneld does not answer. */
export async function nodePing(runFolder: string, count: number, json: boolean): Promise<number> {
  const report = await pingPeers(runFolder, count);
  process.stdout.write(`${json ? JSON.stringify(report) : pingTable(report).join('\n')}\n`);
  return report.lost === 0 ? EXIT.ok : EXIT.internal;
}

/** One line a target, and the sum. */
export function pingTable(report: PingReport): readonly string[] {
  const rows = report.results.map(({ to, address, sent, received, rttMs, error }) => [
    to,
    address,
    `${received}/${sent}`,
    rttMs === undefined ? (error ?? '-') : `${rttMs.toFixed(2)} ms`,
  ]);
  return [
    ...renderTable(['NODE', 'POD', 'REPLIES', 'MEAN TIME'], rows),
    '',
    `${report.pairs} pairs, ${report.lost} lost`,
  ];
}

async function pingPeers(runFolder: string, count: number): Promise<PingReport> {
  const path = join(runFolder, 'subnet.env');
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ExitError(EXIT.environment, `gingham: this node has no subnet yet: no ${path} (--run-dir)`, { cause });
  });
  const env = parseSubnetEnv(text);
  if (typeof env === 'string') throw new ExitError(EXIT.config, `gingham: ${path}: ${env}`);
  const [pod, peers] = await Promise.all([findPod(runFolder), readOverlayPeers(runFolder)]);
  if (typeof peers === 'string') throw new ExitError(EXIT.environment, `gingham: ${peers}`);
  const targets = peers
    .toSorted((a, b) => a.node.localeCompare(b.node, 'en', { numeric: true }))
    .map(({ node, subnet }) => ({ node, address: podAddress(subnet) }));
  return pingReport(await pingFromPod(String(podAddress(env.subnet)), pod.inPod, targets, count));
}
