// A subnet lease as it stands in etcd: key and value in flannel's own form, readable by flannel and read from it. Pure.
//
//   <prefix>/subnets/10.5.1.0-24                      IPv4 only
//   <prefix>/subnets/10.5.1.0-24&fd00:5:1::-64        dual stack
//   {"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:..."}}
//
// Ours adds one field, NodeName, which flannel ignores: flannel knows a node by its PublicIP, we know it by its name.
// Decoding never throws: what another node wrote is not trusted, and a fault says which field, which value, what is taken.

import { type Address, familyOf, parseAddress } from '../../lib/net/address.ts';
import { type Mac, parseMac } from '../../lib/net/mac.ts';
import { type Prefix, parsePrefix, prefixAddress, prefixLength } from '../../lib/net/prefix.ts';

/** 24 bits (RFC 7348 section 5). */
export const VNI_MAX = 0xff_ffff;

/** Where the inner frames of a node go: flannel's `BackendData` of a vxlan lease. */
export interface Vtep {
  readonly vni: number;
  readonly mac: Mac;
}

/** What a node says of itself in its lease. */
export interface LeaseAttributes {
  /** Underlay address, IPv4; a node has this one, the other, or both. */
  readonly publicIp?: Address;
  readonly publicIp6?: Address;
  /** `vxlan`, `udp`, `host-gw`, ...; empty where the writer gave none (flannel's udp backend). */
  readonly backendType: string;
  readonly vtep?: Vtep;
  /** VTEP for IPv6 inside (flannel has a second device for it; here it is the same). */
  readonly vtep6?: Vtep;
  /** Empty in a lease that flannel wrote. */
  readonly nodeName: string;
}

export interface Lease extends LeaseAttributes {
  /** Full etcd key. */
  readonly key: string;
  readonly subnet: Prefix;
  readonly subnet6?: Prefix;
}

/** Why an entry is no lease, in one line. */
export interface LeaseFault {
  readonly key: string;
  readonly fault: string;
}

/** The folder of all leases under flannel's prefix, with its closing slash. */
export function leaseFolder(etcdPrefix: string): string {
  return `${etcdPrefix}/subnets/`;
}

/** The etcd key of a subnet's lease. */
export function leaseKey(etcdPrefix: string, subnet: Prefix, subnet6?: Prefix): string {
  const parts = [subnet, ...(subnet6 === undefined ? [] : [subnet6])];
  return leaseFolder(etcdPrefix) + parts.map((part) => part.replace('/', '-')).join('&');
}

/** The value of a lease: flannel's fields in flannel's order, then ours. */
export function encodeLease(attributes: LeaseAttributes): string {
  const { publicIp, publicIp6, backendType, vtep, vtep6, nodeName } = attributes;
  return JSON.stringify({
    PublicIP: publicIp ?? null,
    PublicIPv6: publicIp6 ?? null,
    BackendType: backendType === '' ? undefined : backendType,
    BackendData: vtep && { VNI: vtep.vni, VtepMAC: vtep.mac },
    BackendV6Data: vtep6 && { VNI: vtep6.vni, VtepMAC: vtep6.mac },
    NodeName: nodeName,
  });
}

/** Reads an entry under `leaseFolder`. */
export function decodeLease(key: string, value: string): Lease | LeaseFault {
  const subnets = decodeLeaseKey(key);
  if (subnets === undefined) {
    return { key, fault: 'the key is not SUBNET-LENGTH (10.5.1.0-24) or SUBNET-LENGTH&SUBNET6-LENGTH' };
  }
  const attributes = decodeAttributes(value);
  if (typeof attributes === 'string') return { key, fault: attributes };
  return { key, ...subnets, ...attributes };
}

/** A subnet that an operator keeps for a node before the node has written anything: no address, only a name. */
export interface Reservation {
  readonly key: string;
  readonly subnet: Prefix;
  readonly subnet6?: Prefix;
  readonly nodeName: string;
}

/** The reservation that an entry is: `{"NodeName":"node7"}` under a subnet's key; `undefined` where it is something else. */
export function decodeReservation(key: string, value: string): Reservation | undefined {
  const subnets = decodeLeaseKey(key);
  const fields = parseObject(value);
  if (subnets === undefined || fields === undefined) return undefined;
  const { NodeName: nodeName, PublicIP: publicIp, PublicIPv6: publicIp6 } = fields;
  const isNamed = typeof nodeName === 'string' && nodeName !== '';
  return isNamed && publicIp == null && publicIp6 == null ? { key, ...subnets, nodeName } : undefined;
}

/** The subnets that a key stands for, whatever its value is. */
export function decodeLeaseKey(key: string): { subnet: Prefix; subnet6?: Prefix } | undefined {
  const name = key.slice(key.lastIndexOf('/') + 1);
  const match = /^(\d+\.\d+\.\d+\.\d+)-(\d{1,2})(?:&([a-f\d:.]+)-(\d{1,3}))?$/.exec(name);
  if (match === null) return undefined;
  const [, address, length, address6, length6] = match;
  const subnet = parsePrefix(`${address}/${length}`);
  if (subnet === undefined || !isUsableSubnet(subnet)) return undefined;
  if (address6 === undefined) return { subnet };
  const subnet6 = parsePrefix(`${address6}/${length6}`);
  return subnet6 === undefined || !isUsableSubnet(subnet6) ? undefined : { subnet, subnet6 };
}

export function isLeaseFault(decoded: Lease | LeaseFault): decoded is LeaseFault {
  return 'fault' in decoded;
}

/** Every subnet of a lease. */
export function leaseSubnets(lease: Pick<Lease, 'subnet' | 'subnet6'>): readonly Prefix[] {
  return lease.subnet6 === undefined ? [lease.subnet] : [lease.subnet, lease.subnet6];
}

/** Whether two leases say the same. */
export function sameLease(a: Lease, b: Lease): boolean {
  return a.key === b.key && encodeLease(a) === encodeLease(b);
}

/** A node's subnet holds at least a few pods and is not the whole internet. */
function isUsableSubnet(subnet: Prefix): boolean {
  const length = prefixLength(subnet);
  return length >= 8 && length <= (subnet.includes(':') ? 126 : 30) && isUnicast(prefixAddress(subnet));
}

function decodeAttributes(value: string): LeaseAttributes | string {
  const fields = parseObject(value);
  if (fields === undefined) return `the value is not a JSON object: ${shorten(value)}`;
  const publicIp = decodePublicIp(fields, 'PublicIP', 4);
  const publicIp6 = decodePublicIp(fields, 'PublicIPv6', 6);
  const { BackendType: backendType = '', NodeName: nodeName = '' } = fields;
  if (publicIp instanceof Fault) return publicIp.text;
  if (publicIp6 instanceof Fault) return publicIp6.text;
  if (publicIp === undefined && publicIp6 === undefined) return 'PublicIP and PublicIPv6 are both missing';
  if (typeof backendType !== 'string') return `BackendType ${shorten(backendType)} is not a text`;
  if (typeof nodeName !== 'string') return `NodeName ${shorten(nodeName)} is not a text`;
  const isVxlan = backendType === 'vxlan';
  const vtep = isVxlan && fields['BackendData'] != null ? decodeVtep(fields, 'BackendData') : undefined;
  const vtep6 = isVxlan && fields['BackendV6Data'] != null ? decodeVtep(fields, 'BackendV6Data') : undefined;
  if (vtep instanceof Fault) return vtep.text;
  if (vtep6 instanceof Fault) return vtep6.text;
  if (isVxlan && vtep === undefined && vtep6 === undefined) return 'BackendData is missing from a vxlan lease';
  return {
    ...(publicIp && { publicIp }),
    ...(publicIp6 && { publicIp6 }),
    backendType,
    ...(vtep && { vtep }),
    ...(vtep6 && { vtep6 }),
    nodeName,
  };
}

class Fault {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

function decodePublicIp(fields: Record<string, unknown>, field: string, family: 4 | 6): Address | undefined | Fault {
  const value = fields[field];
  if (value === undefined || value === null) return undefined;
  const parsed = typeof value === 'string' ? parseAddress(value) : undefined;
  if (parsed !== undefined && familyOf(parsed) === family && isUnicast(parsed)) return parsed;
  return new Fault(`${field} ${shorten(value)} is not a unicast IPv${family} address`);
}

function decodeVtep(fields: Record<string, unknown>, field: string): Vtep | Fault {
  const data = fields[field];
  if (typeof data !== 'object' || data === null) return new Fault(`${field} ${shorten(data)} is not an object`);
  const { VNI: vni, VtepMAC: macText } = data as { VNI?: unknown; VtepMAC?: unknown };
  if (typeof vni !== 'number' || !Number.isInteger(vni) || vni < 0 || vni > VNI_MAX) {
    return new Fault(`${field}.VNI ${shorten(vni)} is not a whole number from 0 to ${VNI_MAX}`);
  }
  const mac = typeof macText === 'string' ? parseMac(macText) : undefined;
  // The I/G bit: a group address cannot be one node's VTEP.
  if (mac === undefined || Number.parseInt(mac.slice(0, 2), 16) & 1 || mac === '00:00:00:00:00:00') {
    return new Fault(`${field}.VtepMAC ${shorten(macText)} is not a unicast MAC address`);
  }
  return { vni, mac };
}

/** Not unspecified, loopback or multicast: something that a node can be reached at. */
function isUnicast(address: Address): boolean {
  return familyOf(address) === 4
    ? !/^(0|127|2(2[4-9]|[345]\d))\./.test(address)
    : !/^(::1?$|ff|fe[89ab])/.test(address);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A foreign value for a log line: as JSON, at most 80 characters. */
function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
