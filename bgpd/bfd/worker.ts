// The BFD thread: its sockets, its timers, the links, nothing else. What the main thread does, however long, delays nothing
// here. It is started by liveness.ts alone; what it is given and says is in messages.ts.
//
// Receives on ports 3784 and 4784 of the node's address; the kernel drops what comes from too far away (RFC 5881 section 5,
// RFC 5883 section 5). Sends from one port of 49152 to 65535 for all sessions (section 4; that it be another for each is a
// SHOULD, and would cost a descriptor per peer).

import { createSocket, type Socket } from 'node:dgram';
import { setPriority } from 'node:os';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { droppedDatagrams, openDatagramSocket } from '../../lib/kernel/datagram-socket.ts';
import { takeOwnDescriptors } from '../../lib/kernel/descriptor-table.ts';
import { errnoName } from '../../lib/kernel/errno.ts';
import type { Kernel } from '../../lib/kernel/kernel.ts';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { close } from '../../lib/kernel/syscalls.ts';
import { makeThreadRealTime } from '../../lib/kernel/thread-priority.ts';
import { type Address, familyOf, parseAddress } from '../../lib/net/address.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { BfdEngine } from './engine.ts';
import { LifeLines } from './life-lines.ts';
import {
  BFD_PORTS,
  type BfdCommand,
  type BfdHops,
  type BfdWorkerData,
  type BfdWorkerEvent,
  LIFE_LINE_PORT,
} from './messages.ts';
import { Ways } from './ways.ts';

const SINGLE_HOP_LEAST_TTL = 255;
const SOURCE_PORTS = { first: 49_152, count: 16_384 } as const;
const PORT_TRIES = 64;
const EADDRINUSE = 98;
const COUNTS_EVERY_MS = 1_000;

/** The ways to so many peers without BFD are asked for again with each count. */
const DOUBTS_MAX = 100;

/** Before all that computes: a packet late by one detection time is a false alarm. */
const NICENESS = -15;

interface Descriptors {
  readonly single: number;
  readonly multi: number;
  readonly sender: number;
}

const port = parentPort as MessagePort;
const say = (event: BfdWorkerEvent): void => port.postMessage(event);

main(workerData as BfdWorkerData).catch((error: unknown) => {
  say({ type: 'refused', message: error instanceof Error ? error.message : String(error) });
  port.close();
});

async function main(data: BfdWorkerData): Promise<void> {
  const { address } = data;
  // Where that is forbidden its descriptors go with those of the other threads.
  takeOwnDescriptors();
  const descriptors = openAll(data);
  if (typeof descriptors === 'string') throw new Error(descriptors);
  raisePriority();
  const sender = adopt(address, descriptors.sender);
  let sendErrors = 0;
  const lines = openLines(address);
  const engine = openEngine(data, lines, (peer, hops, bytes) => {
    sender.send(Uint8Array.from(bytes), BFD_PORTS[hops], peer, (error) => {
      if (error) sendErrors++;
    });
  });
  const receivers = (['single', 'multi'] as const).map((hops) => {
    const receiver = adopt(address, descriptors[hops]);
    receiver.on('message', (bytes, { address: from }) => {
      const peer = parseAddress(from);
      if (peer !== undefined) engine.receive(peer, hops, bytes);
    });
    return receiver;
  });
  const kernel = openKernel();
  let offering: readonly Address[] = [];
  const follow = (): void => {
    const { hops } = ways;
    engine.setPeers(new Map([...hops].filter(([peer]) => offering.includes(peer))));
  };
  const ways = openWays(kernel, follow);
  const counting = setInterval(() => {
    const refused = droppedDatagrams(descriptors.single) + droppedDatagrams(descriptors.multi);
    say({ type: 'counts', counts: { ...engine.counts, sendErrors, refused } });
    for (const peer of offering) if (engine.isUp(peer)) lines.want(peer);
    void ways.look(offering.filter((peer) => !engine.isUp(peer)).slice(0, DOUBTS_MAX));
  }, COUNTS_EVERY_MS);
  port.on('message', (command: BfdCommand) => {
    if (command.type === 'peers') {
      offering = command.offering;
      engine.setTimings(command.timings);
      lines.setPeers(offering);
      ways.setPeers(command.addresses);
      // Those that are no more end at once; the ways to those that are new are asked for first.
      follow();
      return;
    }
    engine.setPeers(new Map());
    lines.close();
    clearInterval(counting);
    for (const receiver of receivers) receiver.close();
    // What was sent last is out before it closes.
    setImmediate(() => sender.close());
    kernel.close().catch(() => undefined);
    port.close();
  });
  await ways.start();
  say({ type: 'opened' });
}

function openEngine(
  { intervalMs, multiplier }: BfdWorkerData,
  lines: LifeLines,
  send: (peer: Address, hops: BfdHops, bytes: Uint8Array) => void,
): BfdEngine {
  return new BfdEngine({
    intervalMs,
    multiplier,
    clock: systemClock,
    send,
    changed: (from, report) => {
      say({ type: 'changed', from, report, detectedUnixUs: systemClock.unixMicros() });
      if (report.state === 'Up') lines.want(report.peer);
      else if (from === 'Up') lines.drop(report.peer);
    },
    negotiated: (report) => say({ type: 'negotiated', report }),
    afterReading: (callback) => void setImmediate(callback),
    random: Math.random,
  });
}

function openLines(address: Address): LifeLines {
  const ended = (peer: Address): void => say({ type: 'ended', peer, detectedUnixUs: systemClock.unixMicros() });
  return new LifeLines({ address, port: LIFE_LINE_PORT, clock: systemClock, ended });
}

function openWays(kernel: Kernel, changed: () => void): Ways {
  const carrier = (peer: Address, up: boolean, device: string, detectedUnixUs: bigint): void =>
    say({ type: 'carrier', peer, up, device, detectedUnixUs });
  return new Ways({ kernel, clock: systemClock, changed, carrier });
}

/** The descriptors, or what is in the way. */
function openAll({ address, multihopLeastTtl }: BfdWorkerData): Descriptors | string {
  const single = openDatagramSocket(address, BFD_PORTS.single, SINGLE_HOP_LEAST_TTL);
  if (single < 0) return `cannot receive on ${address} port ${BFD_PORTS.single}: ${errnoName(-single)}`;
  const multi = openDatagramSocket(address, BFD_PORTS.multi, multihopLeastTtl);
  if (multi < 0) {
    close(single);
    return `cannot receive on ${address} port ${BFD_PORTS.multi}: ${errnoName(-multi)}`;
  }
  let sender = -EADDRINUSE;
  for (let tries = 0; tries < PORT_TRIES && sender === -EADDRINUSE; tries++) {
    const sourcePort = SOURCE_PORTS.first + Math.floor(Math.random() * SOURCE_PORTS.count);
    sender = openDatagramSocket(address, sourcePort, 0);
  }
  if (sender >= 0) return { single, multi, sender };
  for (const fd of [single, multi]) close(fd);
  return `cannot send from ${address}: ${errnoName(-sender)}`;
}

/** The descriptor as a socket of the event loop. Peers are addresses: nothing is looked up. */
function adopt(address: Address, fd: number): Socket {
  const family = familyOf(address);
  const socket = createSocket({ type: `udp${family}`, lookup: (host, _, done) => done(null, host, family) });
  // Errors of single packets (an ICMP error, a route that is missing) say nothing that silence does not.
  socket.on('error', () => undefined);
  socket.bind({ fd });
  return socket;
}

/** For the calling thread alone. Without the privilege it stays as it is. */
function raisePriority(): void {
  // Niceness only counts within a group of processes (autogroups, containers): real time is asked for first.
  if (makeThreadRealTime() >= 0) return;
  try {
    setPriority(NICENESS);
  } catch {
    // The thread competes with the others then; 300 ms x 3 is made for that.
  }
}
