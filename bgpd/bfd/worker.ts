// The BFD thread: its sockets, its timers, nothing else. What the main thread does, however long, delays nothing here.
// It is started by liveness.ts alone; what it is given and says is in messages.ts.
//
// Receives on port 3784 of the node's address; the kernel drops what comes with a TTL below 255 (RFC 5881 section 5).
// Sends from one port of 49152 to 65535 for all sessions (section 4; that it be another for each is a SHOULD, and would
// cost a descriptor per peer).

import { createSocket, type Socket } from 'node:dgram';
import { setPriority } from 'node:os';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { openDatagramSocket } from '../../lib/kernel/datagram-socket.ts';
import { errnoName } from '../../lib/kernel/errno.ts';
import { close } from '../../lib/kernel/syscalls.ts';
import { makeThreadRealTime } from '../../lib/kernel/thread-priority.ts';
import { type Address, familyOf, parseAddress } from '../../lib/net/address.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { BfdEngine } from './engine.ts';
import { BFD_PORT, type BfdCommand, type BfdWorkerData, type BfdWorkerEvent } from './messages.ts';

const LEAST_TTL = 255;
const SOURCE_PORTS = { first: 49_152, count: 16_384 } as const;
const PORT_TRIES = 64;
const EADDRINUSE = 98;
const COUNTS_EVERY_MS = 1_000;

/** Before all that computes: a packet late by one detection time is a false alarm. */
const NICENESS = -15;

const port = parentPort as MessagePort;
const say = (event: BfdWorkerEvent): void => port.postMessage(event);

main(workerData as BfdWorkerData);

function main({ address, intervalMs, multiplier }: BfdWorkerData): void {
  const descriptors = openBoth(address);
  if (typeof descriptors === 'string') {
    say({ type: 'refused', message: descriptors });
    port.close();
    return;
  }
  raisePriority();
  const receiver = adopt(address, descriptors.receiver);
  const sender = adopt(address, descriptors.sender);
  let sendErrors = 0;
  const engine = new BfdEngine({
    intervalMs,
    multiplier,
    clock: systemClock,
    send(peer, bytes) {
      sender.send(Uint8Array.from(bytes), BFD_PORT, peer, (error) => {
        if (error) sendErrors++;
      });
    },
    changed: (from, report) => say({ type: 'changed', from, report, detectedUnixUs: systemClock.unixMicros() }),
    negotiated: (report) => say({ type: 'negotiated', report }),
    afterReading: (callback) => void setImmediate(callback),
    random: Math.random,
  });
  receiver.on('message', (bytes, { address: from }) => {
    const peer = parseAddress(from);
    if (peer !== undefined) engine.receive(peer, bytes);
  });
  const counting = setInterval(
    () => say({ type: 'counts', counts: { ...engine.counts, sendErrors } }),
    COUNTS_EVERY_MS,
  );
  port.on('message', (command: BfdCommand) => {
    engine.setPeers(command.type === 'peers' ? command.addresses : []);
    if (command.type === 'peers') return;
    clearInterval(counting);
    receiver.close();
    // What was sent last is out before it closes.
    setImmediate(() => sender.close());
    port.close();
  });
  say({ type: 'opened' });
}

/** The two descriptors, or what is in the way. */
function openBoth(address: Address): { readonly receiver: number; readonly sender: number } | string {
  const receiver = openDatagramSocket(address, BFD_PORT, LEAST_TTL);
  if (receiver < 0) return `cannot receive on ${address} port ${BFD_PORT}: ${errnoName(-receiver)}`;
  let code = -EADDRINUSE;
  for (let tries = 0; tries < PORT_TRIES && code === -EADDRINUSE; tries++) {
    const sourcePort = SOURCE_PORTS.first + Math.floor(Math.random() * SOURCE_PORTS.count);
    code = openDatagramSocket(address, sourcePort, 0);
  }
  if (code >= 0) return { receiver, sender: code };
  close(receiver);
  return `cannot send from ${address}: ${errnoName(-code)}`;
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
