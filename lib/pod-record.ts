// What the CNI plugin hands to flanneld for a pod without a bridge: a file for each pod's interface, in <run-dir>/pods.
//
//   <run-dir>/pods/gh0123456789abc.json   {"containerId","ifname","network","hostInterface","addresses","gateways","mac"}
//
// The plugin writes and removes it; flanneld offers the addresses in its RouteFeed, and felix alone writes the routes.
// A file is written under another name first and renamed, so that what is read is whole.

import { join } from 'node:path';
import { type Address, parseAddress } from './net/address.ts';
import { type Mac, parseMac } from './net/mac.ts';

const SUFFIX = '.json';

export interface PodRecord {
  readonly containerId: string;
  readonly ifname: string;
  /** Name of the CNI network. */
  readonly network: string;
  /** The node's end of the pod's veth pair. */
  readonly hostInterface: string;
  readonly addresses: readonly Address[];
  /** What the pod calls its gateways: felix puts them on the node's end. Absent in records of former versions. */
  readonly gateways?: readonly Address[];
  /** Of the pod's end, where it was chosen. */
  readonly mac?: Mac;
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
    const record = JSON.parse(text) as Partial<PodRecord>;
    const { containerId, ifname, network, hostInterface, addresses, gateways = [], mac: macText } = record;
    if (!Array.isArray(addresses) || !Array.isArray(gateways)) return undefined;
    for (const word of [containerId, ifname, network, hostInterface]) if (typeof word !== 'string') return undefined;
    const parsed = addresses.map((each: unknown) => parseAddress(String(each)));
    const parsedGateways = gateways.map((each: unknown) => parseAddress(String(each)));
    const mac = macText === undefined ? undefined : parseMac(String(macText));
    if (parsed.length === 0 || [...parsed, ...parsedGateways].includes(undefined)) return undefined;
    if (macText !== undefined && mac === undefined) return undefined;
    const own = { containerId, ifname, network, hostInterface, addresses: parsed, gateways: parsedGateways };
    return { ...own, ...(mac && { mac }) } as PodRecord;
  } catch {
    return undefined;
  }
}
