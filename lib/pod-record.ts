// What the CNI plugin hands to flanneld for a pod without a bridge: a file for each pod's interface, in <run-dir>/pods.
//
//   <run-dir>/pods/gh0123456789abc.json   {"containerId","ifname","network","hostInterface","addresses"}
//
// The plugin writes and removes it; flanneld offers the addresses in its RouteFeed, and felix alone writes the routes.
// A file is written under another name first and renamed, so that what is read is whole.

import { join } from 'node:path';
import { type Address, parseAddress } from './net/address.ts';

const SUFFIX = '.json';

export interface PodRecord {
  readonly containerId: string;
  readonly ifname: string;
  /** Name of the CNI network. */
  readonly network: string;
  /** The node's end of the pod's veth pair. */
  readonly hostInterface: string;
  readonly addresses: readonly Address[];
}

/** Where the records are. */
export function podRecordFolder(runFolder: string): string {
  return join(runFolder, 'pods');
}

/** The file of a pod's interface in that folder. */
export function podRecordName(hostInterface: string): string {
  return `${hostInterface}${SUFFIX}`;
}

/** Whether the file is a record, and not one that is being written. */
export function isPodRecordName(name: string): boolean {
  return name.endsWith(SUFFIX) && !name.startsWith('.');
}

/** The record in the text; `undefined` where it is none. */
export function parsePodRecord(text: string): PodRecord | undefined {
  try {
    const { containerId, ifname, network, hostInterface, addresses } = JSON.parse(text) as Partial<PodRecord>;
    if (!Array.isArray(addresses)) return undefined;
    for (const word of [containerId, ifname, network, hostInterface]) if (typeof word !== 'string') return undefined;
    const parsed = addresses.map((each: unknown) => parseAddress(String(each)));
    if (parsed.includes(undefined) || parsed.length === 0) return undefined;
    return { containerId, ifname, network, hostInterface, addresses: parsed } as PodRecord;
  } catch {
    return undefined;
  }
}
