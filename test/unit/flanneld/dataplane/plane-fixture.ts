// One plane of node `one` with the peers `two` and `three`, on a PipeIo: shared by the tests of the plane.
// Subnets are 10.55.<n>.0/24 and fd55:<n>::/32, underlay addresses 192.0.2.<n>, VTEP MACs 0e:00:00:00:55:0<n>.

import type { PlaneConfig, PlaneMode, PlanePeer } from '../../../../flanneld/dataplane/data-plane.ts';
import { Forwarder } from '../../../../flanneld/dataplane/forwarder.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { PipeIo } from '../../../fakes/pipe-io.ts';

export const MTU_BYTES = 1450;

export interface Fixture {
  readonly io: PipeIo;
  readonly plane: Forwarder;
  readonly failures: Error[];
  /** Moves the plane's clock. */
  readonly advance: (ms: number) => void;
  /** The drop counters that are not zero. */
  readonly drops: () => Record<string, number>;
}

export const overlay4 = (node: number, host: number) => [10, 55, node, host];
export const overlay6 = (node: number, host: number) => [0xfd, 0x55, 0, node, ...new Array<number>(11).fill(0), host];
export const underlay = (node: number) => `192.0.2.${node}`;

export function peer(node: number, name = `node${node}`): PlanePeer {
  return {
    node: name,
    endpoint: address(underlay(node)),
    port: 8472,
    mac: mac(`0e:00:00:00:55:0${node}`),
    subnets: [prefix(`10.55.${node}.0/24`), prefix(`fd55:${node}::/32`)],
  };
}

export function makePlane(mode: PlaneMode): Fixture {
  const base = {
    deviceName: 'flannel.t',
    localAddress: address(underlay(1)),
    port: 8472,
    mtuBytes: MTU_BYTES,
    ownSubnets: peer(1).subnets,
  };
  const config: PlaneConfig =
    mode === 'vxlan' ? { ...base, mode, vni: 1, mac: mac('0e:00:00:00:55:01') } : { ...base, mode };
  const io = new PipeIo();
  const failures: Error[] = [];
  let nowMs = 5_000;
  const plane = new Forwarder(
    config,
    io,
    () => nowMs,
    (error) => failures.push(error),
  );
  plane.setPeer(peer(2));
  plane.setPeer(peer(3));
  return {
    io,
    plane,
    failures,
    advance: (ms) => {
      nowMs += ms;
    },
    drops: () => Object.fromEntries(Object.entries(plane.stats().drops).filter(([, count]) => count > 0)),
  };
}

/** An Ethernet frame between two VTEPs; `type` is 4, 6, or an EtherType. */
export function frameOf(
  to: number,
  from: number,
  payload: Uint8Array,
  type: number = (payload[0] ?? 0) >> 4,
): Uint8Array {
  const etherType = type === 4 ? 0x0800 : type === 6 ? 0x86dd : type;
  const macOf = (node: number) => [0x0e, 0, 0, 0, 0x55, node];
  return Uint8Array.of(...macOf(to), ...macOf(from), etherType >> 8, etherType & 255, ...payload);
}

/** A VXLAN datagram of network 1. */
export function vxlanOf(frame: Uint8Array): Uint8Array {
  return Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0, ...frame);
}
