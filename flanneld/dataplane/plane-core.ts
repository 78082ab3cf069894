// What the plane does with one packet, without any I/O: who gets it, or why it is dropped, and which ICMP it is worth.
//
//   device  --frame-->  fromDevice  --> the peer that gets it, with the VXLAN header already before the frame
//   socket  --datagram-->  fromSocket  --> the frame inside, at frameAt / frameLength
//
// In mode `ipip` a datagram is the whole outer packet, as a raw socket gives it; the kernel has checked the outer header.
//
// Who counts hops: the kernel, and nobody else. It decrements TTL when it forwards into the tunnel device on the one side
// and when it forwards out of it on the other: one hop per router, as over any link. RFC 2003 section 3.1 says the same of
// tunnels: the encapsulator decrements once, as part of forwarding (which the kernel has just done), the decapsulator does
// not. So the plane only enforces what remains: a packet with TTL 0 is never encapsulated, nor taken out of a tunnel.
//
// Where an ICMP error comes from: the address that the packet was sent to. It is what Linux does for its own tunnels
// (iptunnel_pmtud_build_icmp), and the one source that passes every check: the node's own address would be dropped as
// martian when it came in through the device, and reverse path filtering wants an address that lies behind the device.

import type { Family } from '../../lib/net/address.ts';
import { macBytes } from '../../lib/net/mac.ts';
import { ARP, isArp } from '../../lib/wire/arp.ts';
import { readI32, readU16 } from '../../lib/wire/bytes.ts';
import { combineEcn, ECN_DROP, readTos, writeEcn } from '../../lib/wire/ecn.ts';
import { ETHERNET, ETHERNET_LENGTH, ETHERTYPE, isGroupMac } from '../../lib/wire/ethernet.ts';
import {
  faultOfIpv4,
  IPV4,
  IPV4_FRAGMENT,
  IPV4_LENGTH,
  ipv4HeaderLength,
  TUNNELLED_FAMILY,
} from '../../lib/wire/ipv4.ts';
import { faultOfIpv6, IPV6, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { faultOfVxlan, VXLAN_LENGTH, type VxlanFault, writeVxlan } from '../../lib/wire/vxlan.ts';
import type { DropReason, PlaneConfig } from './data-plane.ts';
import { NO_ENDPOINT } from './endpoint-index.ts';
import type { ForwardingTable } from './forwarding-table.ts';
import { IcmpReply } from './icmp-reply.ts';
import { finishChecksum } from './offloaded-checksum.ts';
import { PlaneCounters } from './plane-counters.ts';
import type { TableEntry } from './table-entry.ts';

const VXLAN_DROP: Readonly<Record<VxlanFault, DropReason>> = {
  truncated: 'rx-truncated',
  flags: 'rx-vxlan-flags',
  vni: 'rx-wrong-vni',
};

export class PlaneCore {
  /** Bytes that the caller keeps free before a frame from the device, for the encapsulation. */
  readonly headroom: number;
  readonly counters = new PlaneCounters();
  /** Where `fromSocket` found the frame for the device, valid after it gave `undefined`. */
  frameAt = 0;
  frameLength = 0;
  /** DSCP and ECN that the outer packet gets (RFC 6040 section 4.1), valid after `fromDevice` gave a peer. */
  outerTos = 0;
  /** With them: the family of an IP packet inside that exceeds the MTU, which nothing behind the device would carry. */
  oversize: Family | undefined;
  /** The frame to write back to the device after `fromDevice` dropped a packet; empty where none is due. */
  readonly reply: IcmpReply;
  readonly #table: ForwardingTable;
  readonly #vni: number;
  readonly #macHigh: number;
  readonly #macLow: number;
  readonly #isVxlan: boolean;
  readonly #isIpip: boolean;
  /** DSCP and ECN of the outer packet that is being looked at. */
  #arrivedTos = 0;
  #mtuBytes: number;
  #isSuper = false;

  constructor(config: PlaneConfig, table: ForwardingTable) {
    this.#table = table;
    this.#mtuBytes = config.mtuBytes;
    this.#isVxlan = config.mode === 'vxlan';
    this.#isIpip = config.mode === 'ipip';
    this.#vni = config.mode === 'vxlan' ? config.vni : 0;
    const mac = config.mode === 'vxlan' ? macBytes(config.mac) : new Uint8Array(6);
    this.#macHigh = readU16(mac, 0);
    this.#macLow = readI32(mac, 2);
    this.headroom = this.#isVxlan ? VXLAN_LENGTH : 0;
    this.reply = new IcmpReply(this.counters, this.#isVxlan ? ETHERNET_LENGTH : 0);
  }

  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  setMtu(mtuBytes: number): void {
    this.#mtuBytes = mtuBytes;
  }

  /**
   * Takes the frame of `length` bytes at `at`, with `headroom` bytes before it. Gives the peer to which the datagram
   * `[at - headroom, at + length)` is to be sent, or why it was dropped (already counted); then `reply` may hold an answer.
   * The buffer stays the caller's; only its headroom is written. `nowMs` is monotonic. `isSuper`: the caller will cut the
   * packet into segments of the right size, so its length does not matter.
   */
  fromDevice(bytes: Uint8Array, at: number, length: number, nowMs: number, isSuper = false): TableEntry | DropReason {
    this.reply.clear();
    this.outerTos = 0;
    this.#isSuper = isSuper;
    const verdict = this.#isVxlan
      ? this.#frameToPeer(bytes, at, length, nowMs)
      : this.#packetToPeer(bytes, at, length, nowMs);
    if (typeof verdict === 'string') this.counters.drop(verdict);
    return verdict;
  }

  /** The endpoint of the table with the 4 or 16 address bytes at `at`, `NO_ENDPOINT` where no peer sends from there. */
  findSender(family: Family, bytes: Uint8Array, at: number): number {
    return this.#table.findSender(family, bytes, at);
  }

  /**
   * Takes the datagram of `length` bytes at `at` that came from `sender`, an endpoint of the table. Gives `undefined` where
   * the frame at `frameAt`, `frameLength` bytes, is to be written to the device; else why it was dropped (already counted).
   * `outerTos` is DSCP and ECN of the outer header where the driver can tell; mode `ipip` reads it from the datagram.
   */
  fromSocket(sender: number, bytes: Uint8Array, at: number, length: number, outerTos = 0): DropReason | undefined {
    this.oversize = undefined;
    this.#arrivedTos = outerTos;
    const verdict = sender === NO_ENDPOINT ? 'rx-unknown-sender' : this.#unwrap(sender, bytes, at, length);
    if (verdict !== undefined) this.counters.drop(verdict);
    return verdict;
  }

  #frameToPeer(bytes: Uint8Array, at: number, length: number, nowMs: number): TableEntry | DropReason {
    if (length < ETHERNET_LENGTH) return 'tx-malformed';
    // RFC 7348 section 4.2 would send these to a multicast group or to every VTEP. Here all neighbours are static, so
    // nothing that the overlay needs is lost.
    if (isGroupMac(bytes, at + ETHERNET.destination)) return 'tx-multicast';
    const peer = this.#table.findByMac(bytes, at + ETHERNET.destination);
    if (peer === undefined) return 'tx-unknown-mac';
    const inner = at + ETHERNET_LENGTH;
    const innerLength = length - ETHERNET_LENGTH;
    const type = readU16(bytes, at + ETHERNET.type);
    if (type === ETHERTYPE.arp) {
      if (!isArp(bytes, inner, innerLength)) return 'tx-malformed';
    } else {
      const drop = this.#refuseFromDevice(familyOfType(type), bytes, inner, innerLength, nowMs);
      if (drop !== undefined) return drop;
    }
    writeVxlan(this.#vni, bytes, at - VXLAN_LENGTH);
    return peer;
  }

  #packetToPeer(bytes: Uint8Array, at: number, length: number, nowMs: number): TableEntry | DropReason {
    const family = familyOfVersion(bytes, at, length);
    const drop = this.#refuseFromDevice(family, bytes, at, length, nowMs);
    if (drop !== undefined || family === undefined) return drop ?? 'tx-malformed';
    const destination = at + (family === 4 ? IPV4.destination : IPV6.destination);
    if (isMulticastAddress(family, bytes, destination)) return 'tx-multicast';
    // Addresses alone, so that the fragments of a packet take one way.
    const source = at + (family === 4 ? IPV4.source : IPV6.source);
    const last = family === 4 ? 0 : 12;
    const flow = readI32(bytes, source + last) ^ readI32(bytes, destination + last);
    const peer = this.#table.findByDestination(family, bytes, destination, flow);
    if (peer !== undefined) return peer;
    this.reply.unreachable(family, bytes, at, nowMs);
    return 'tx-no-route';
  }

  /** The checks on an IP packet from the device that both modes share. */
  #refuseFromDevice(
    family: Family | undefined,
    bytes: Uint8Array,
    at: number,
    length: number,
    nowMs: number,
  ): DropReason | undefined {
    if (family === undefined) return this.#isVxlan ? 'tx-unsupported-type' : 'tx-malformed';
    if ((family === 4 ? faultOfIpv4(bytes, at, length) : faultOfIpv6(bytes, at, length)) !== undefined) {
      return 'tx-malformed';
    }
    if (bytes[at + (family === 4 ? IPV4.ttl : IPV6.hopLimit)] === 0) {
      this.reply.ttlExceeded(family, bytes, at, nowMs);
      return 'tx-ttl-expired';
    }
    this.outerTos = readTos(family, bytes, at);
    const total = packetLength(family, bytes, at);
    // What may be fragmented is sent as it is: the kernel fragments the outer packet (RFC 2003 section 3.1, flags).
    if (total > this.#mtuBytes && !this.#isSuper && mayNotFragment(family, bytes, at)) {
      this.reply.tooBig(family, bytes, at, this.#mtuBytes, nowMs);
      return 'tx-too-big';
    }
    return undefined;
  }

  #unwrap(sender: number, bytes: Uint8Array, at: number, length: number): DropReason | undefined {
    if (this.#isIpip) return this.#unwrapIp(sender, bytes, at, length);
    if (!this.#isVxlan) {
      const family = familyOfVersion(bytes, at, length);
      return this.#acceptPacket(sender, family, bytes, at, length) ?? this.#accept(at, packetLength(family, bytes, at));
    }
    const fault = faultOfVxlan(bytes, at, length, this.#vni);
    if (fault !== undefined) return VXLAN_DROP[fault];
    const frame = at + VXLAN_LENGTH;
    const frameLength = length - VXLAN_LENGTH;
    if (frameLength < ETHERNET_LENGTH) return 'rx-truncated';
    if (isGroupMac(bytes, frame + ETHERNET.destination)) return 'rx-multicast';
    if (!this.#isOwnMac(bytes, frame + ETHERNET.destination)) return 'rx-foreign-mac';
    const inner = frame + ETHERNET_LENGTH;
    const innerLength = frameLength - ETHERNET_LENGTH;
    const type = readU16(bytes, frame + ETHERNET.type);
    const drop =
      type === ETHERTYPE.arp
        ? this.#acceptArp(sender, bytes, inner, innerLength)
        : this.#acceptPacket(sender, familyOfType(type), bytes, inner, innerLength);
    return drop ?? this.#accept(frame, frameLength);
  }

  #unwrapIp(sender: number, bytes: Uint8Array, at: number, length: number): DropReason | undefined {
    if (length < IPV4_LENGTH) return 'rx-truncated';
    const outerLength = ipv4HeaderLength(bytes, at);
    if (outerLength < IPV4_LENGTH) return 'rx-malformed';
    if (outerLength > length) return 'rx-truncated';
    const inner = at + outerLength;
    const innerLength = length - outerLength;
    const family = familyOfVersion(bytes, inner, innerLength);
    // Protocol 4 holds IPv4 and 41 holds IPv6, and nothing else.
    if (family === undefined || family !== TUNNELLED_FAMILY.get(bytes[at + IPV4.protocol] as number)) {
      return 'rx-malformed';
    }
    this.#arrivedTos = bytes[at + IPV4.tos] as number;
    return (
      this.#acceptPacket(sender, family, bytes, inner, innerLength) ??
      this.#accept(inner, packetLength(family, bytes, inner))
    );
  }

  #accept(at: number, length: number): undefined {
    this.frameAt = at;
    this.frameLength = length;
  }

  /** Unicast ARP passes where it speaks for an address of the node that sent it: a kernel device would take it too. */
  #acceptArp(sender: number, bytes: Uint8Array, at: number, length: number): DropReason | undefined {
    if (!isArp(bytes, at, length)) return 'rx-malformed';
    return this.#table.isBehind(sender, 4, bytes, at + ARP.senderAddress) ? undefined : 'rx-spoofed-source';
  }

  #acceptPacket(
    sender: number,
    family: Family | undefined,
    bytes: Uint8Array,
    at: number,
    length: number,
  ): DropReason | undefined {
    if (family === undefined) return this.#isVxlan ? 'rx-unsupported-type' : 'rx-malformed';
    if ((family === 4 ? faultOfIpv4(bytes, at, length) : faultOfIpv6(bytes, at, length)) !== undefined) {
      return 'rx-malformed';
    }
    if (!this.#table.isBehind(sender, family, bytes, at + (family === 4 ? IPV4.source : IPV6.source))) {
      return 'rx-spoofed-source';
    }
    if (isMulticastAddress(family, bytes, at + (family === 4 ? IPV4.destination : IPV6.destination))) {
      return 'rx-multicast';
    }
    if (bytes[at + (family === 4 ? IPV4.ttl : IPV6.hopLimit)] === 0) return 'rx-ttl-expired';
    // Nearly always the outer packet is not marked, and then nothing changes.
    if ((this.#arrivedTos & 3) !== 0) {
      const innerTos = readTos(family, bytes, at);
      const ecn = combineEcn(innerTos, this.#arrivedTos);
      if (ecn === ECN_DROP) return 'rx-congestion-unmarkable';
      if (ecn !== (innerTos & 3)) writeEcn(family, ecn, bytes, at);
    }
    const total = packetLength(family, bytes, at);
    if (total > this.#mtuBytes) this.oversize = family;
    else finishChecksum(family, bytes, at);
    return undefined;
  }

  #isOwnMac(bytes: Uint8Array, at: number): boolean {
    return readI32(bytes, at + 2) === this.#macLow && readU16(bytes, at) === this.#macHigh;
  }
}

function familyOfType(type: number): Family | undefined {
  if (type === ETHERTYPE.ipv4) return 4;
  return type === ETHERTYPE.ipv6 ? 6 : undefined;
}

function familyOfVersion(bytes: Uint8Array, at: number, length: number): Family | undefined {
  if (length < 1) return undefined;
  const version = (bytes[at] as number) >> 4;
  return version === 4 || version === 6 ? version : undefined;
}

/** Length of a valid packet; what a datagram holds behind it is padding. */
function packetLength(family: Family | undefined, bytes: Uint8Array, at: number): number {
  return family === 6 ? ipv6TotalLength(bytes, at) : readU16(bytes, at + IPV4.totalLength);
}

/** Multicast, the IPv4 classes above it and limited broadcast: 224.0.0.0 and up, ff00::/8. */
function isMulticastAddress(family: Family, bytes: Uint8Array, at: number): boolean {
  return (bytes[at] as number) >= (family === 4 ? 224 : 0xff);
}

/** IPv6 routers never fragment. */
function mayNotFragment(family: Family, bytes: Uint8Array, at: number): boolean {
  return family === 6 || (readU16(bytes, at + IPV4.fragment) & IPV4_FRAGMENT.dontFragment) !== 0;
}
