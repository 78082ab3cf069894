// A pod without a bridge needs a route on its node. felix writes it, and nobody else; the plugin tells flanneld of the pod
// by a file (lib/pod-record.ts) and waits until the kernel has the route.
//
//   ADD ── <run-dir>/pods/gh....json ──► flanneld ── RouteFeed ──► (bgpd) ──► felix ── 10.5.7.9/32 dev gh.... ──► kernel

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Kernel, Link } from '../lib/kernel/kernel.ts';
import type { Address } from '../lib/net/address.ts';
import { isPodRecordName, type PodRecord, parsePodRecord, podRecordFolder, podRecordName } from '../lib/pod-record.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';

const ROUTE_TIMEOUT_MS = 10_000;
const LOOK_MS = 4;
const CONNECT_TIMEOUT_MS = 1_000;

/** The daemons without which no route comes; bgpd as well where felix follows it, which only felix knows. */
const DAEMONS = ['flanneld', 'felix'] as const;

/** Writes the pod's record, whole or not at all. Throws `CniError` (5). */
export function writePodRecord(runFolder: string, record: PodRecord): void {
  const folder = podRecordFolder(runFolder);
  const name = podRecordName(record.hostInterface);
  const temporary = join(folder, `.${name}.${process.pid}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    writeFileSync(temporary, `${JSON.stringify(record)}\n`);
    renameSync(temporary, join(folder, name));
  } catch (cause) {
    throw new CniError(CNI_ERROR.ioFailure, `cannot write to ${folder} (runDir): ${(cause as Error).message}`, '', {
      cause,
    });
  }
}

/** Removes the pod's record; an absent one is fine. */
export function removePodRecord(runFolder: string, hostInterface: string): void {
  rmSync(join(podRecordFolder(runFolder), podRecordName(hostInterface)), { force: true });
}

/** Every readable record, and removes what a killed plugin left of one. */
export function listPodRecords(runFolder: string): readonly PodRecord[] {
  const folder = podRecordFolder(runFolder);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    if (!isPodRecordName(name)) {
      rmSync(join(folder, name), { force: true });
      return [];
    }
    return parsePodRecord(readFileSync(join(folder, name), 'utf8')) ?? [];
  });
}

/** Throws `CniError` (11) where a daemon that the route needs does not run. */
export async function requireDaemons(runFolder: string): Promise<void> {
  const silent = await silentDaemons(runFolder);
  if (silent.length === 0) return;
  const who = silent.map((daemon) => `${daemon} (nobody listens on ${join(runFolder, `${daemon}.http`)})`).join(', ');
  throw new CniError(CNI_ERROR.tryAgainLater, `mode "routed" needs flanneld and felix; not running: ${who}`);
}

/** Names of the daemons that do not listen on their status socket. */
export async function silentDaemons(runFolder: string): Promise<readonly string[]> {
  const answers = await Promise.all(DAEMONS.map((daemon) => listens(join(runFolder, `${daemon}.http`))));
  return DAEMONS.filter((_, at) => !answers[at]);
}

/** Waits until packets to every address leave by the link. Throws `CniError` (11) that says what is missing. */
export async function awaitRoutes(
  kernel: Kernel,
  link: Link,
  addresses: readonly Address[],
  runFolder: string,
): Promise<void> {
  const deadlineMs = performance.now() + ROUTE_TIMEOUT_MS;
  for (;;) {
    const routes = await Promise.all(addresses.map((address) => kernel.routeTo(address)));
    const missing = addresses.filter((_, at) => routes[at]?.linkIndex !== link.index);
    if (missing.length === 0) return;
    if (performance.now() > deadlineMs) {
      await requireDaemons(runFolder);
      const which = `no route to ${missing.join(', ')} by ${link.name} within ${ROUTE_TIMEOUT_MS / 1000} s`;
      throw new CniError(CNI_ERROR.tryAgainLater, `${which}: see "gingham status" for what felix and its feed lack`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy());
    socket.once('connect', () => {
      resolve(true);
      socket.destroy();
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}
