// Both halves of the batched driver of node `one`, with the peers `two` and `three`, over fake system calls.
// See plane-fixture.ts for the addresses.

import { Arena } from '../../../../flanneld/dataplane/arena.ts';
import { BatchedReceive } from '../../../../flanneld/dataplane/batched-receive.ts';
import { BatchedTransmit } from '../../../../flanneld/dataplane/batched-transmit.ts';
import { DeviceWriter } from '../../../../flanneld/dataplane/device-writer.ts';
import { ForwardingTable } from '../../../../flanneld/dataplane/forwarding-table.ts';
import { MessageBatch } from '../../../../flanneld/dataplane/message-batch.ts';
import { MessageSlots } from '../../../../flanneld/dataplane/message-slots.ts';
import { PlaneCore } from '../../../../flanneld/dataplane/plane-core.ts';
import { TableChanges } from '../../../../flanneld/dataplane/table-changes.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { FakePacketCalls } from '../../../fakes/fake-packet-calls.ts';
import { MTU_BYTES, peer, underlay } from './plane-fixture.ts';

export const SOCKETS = [30, 31] as const;

export interface BatchedOptions {
  readonly gso?: boolean;
  readonly mergesUdp?: boolean;
  /** Of `SOCKETS`, how many send. */
  readonly sockets?: number;
}

export function makeBatched({ gso = true, mergesUdp = true, sockets = 1 }: BatchedOptions = {}) {
  const arena = new Arena(3 * 1024 * 1024);
  const calls = new FakePacketCalls(arena);
  const table = new ForwardingTable(peer(1).subnets);
  const changes = new TableChanges();
  for (const node of [2, 3]) table.apply(Int32Array.from(changes.setPeer(peer(node))));
  const core = new PlaneCore(
    {
      ...{ mode: 'vxlan', deviceName: 'flannel.t', localAddress: address(underlay(1)), port: 8472, vni: 1 },
      ...{ mtuBytes: MTU_BYTES, ownSubnets: peer(1).subnets, mac: mac('0e:00:00:00:55:01') },
    },
    table,
  );
  const { counters, headroom } = core;
  const writer = new DeviceWriter(arena, calls, counters, 20);
  const batches = SOCKETS.slice(0, sockets).map(
    (socket) => new MessageBatch(arena, calls, counters, { socket, family: 4, headroom, gso }),
  );
  return {
    calls,
    core,
    transmit: new BatchedTransmit(arena, calls, core, { writer, batches, tun: 20 }),
    receive: new BatchedReceive(arena, core, new MessageSlots(arena, calls, SOCKETS[0]), writer, mergesUdp),
    drops: () => Object.fromEntries(Object.entries(counters.snapshot().drops).filter(([, count]) => count > 0)),
  };
}

/** A frame as the device gives it; `gso` where it is large. */
export function deviceFrame(frame: Uint8Array, gso?: { readonly type: number; readonly size: number }): Uint8Array {
  const header =
    gso === undefined ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] : [1, gso.type, 0, 0, gso.size & 255, gso.size >> 8, 0, 0, 0, 0];
  return Uint8Array.of(...header, ...frame);
}
