// The thread of the batched driver: opens device and socket, says so, and turns batched-loop.ts until it is told to close.
// It is started by batched-plane.ts alone; what it is given is in batched-messages.ts.

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { errnoName } from '../../lib/kernel/errno.ts';
import { DROP, encodeProgram, OP } from '../../lib/kernel/filter-program.ts';
import { attachFilter, close } from '../../lib/kernel/syscalls.ts';
import { openOffloadedTun, removePersistentTun, type TunOpening } from '../../lib/kernel/tun-device.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import { BatchedLoop } from './batched-loop.ts';
import type { BatchedEvent, BatchedWorkerData } from './batched-messages.ts';
import type { PlaneConfig } from './data-plane.ts';
import { openOffloadSocket } from './offload-socket.ts';
import { describeOffloads, findMessageCalls, type Offload, setDeviceOffloads } from './offloads.ts';
import { openIpipDescriptors } from './tuntap-raw-socket.ts';

/** Where nothing was asked. RFC 7348 section 5 wants the inner flow to choose; flannel's udp has no such rule. */
const SOURCE_PORTS = { vxlan: 8, udp: 1, ipip: 1 } as const;

const port = parentPort as MessagePort;
const say = (event: BatchedEvent): void => port.postMessage(event);

main(workerData as BatchedWorkerData);

interface Opened {
  readonly tun: number;
  /** The plane's own, then those that only send, from other source ports; of `ipip` one for each family inside. */
  readonly sockets: readonly number[];
  readonly offloads: ReadonlySet<Offload>;
}

function main(data: BatchedWorkerData): void {
  let opened: Opened;
  try {
    opened = openAll(data);
  } catch (error) {
    say({ type: 'refused', message: errorText(error) });
    port.close();
    return;
  }
  const { tun, sockets, offloads } = opened;
  try {
    const descriptors = { tun, sockets, wake: data.wakeFd, port };
    const busyPollUs = data.tuning.busyPollUs ?? 0;
    const plane = new BatchedLoop(data.config, descriptors, { offloads, busyPollUs }, new Float64Array(data.stats));
    say({ type: 'opened', offloads: describeOffloads(offloads) });
    plane.run();
  } catch (error) {
    say({ type: 'failed', message: errorText(error) });
  } finally {
    for (const socket of sockets) close(socket);
    close(tun);
    port.close();
  }
}

/** Device and sockets, with what the kernel offers of what is wanted. Throws `ExitError` (environment). */
function openAll({ config, tuning, opening }: BatchedWorkerData): Opened {
  const { without = [], workers = 1, zeroChecksum = false } = tuning;
  const sourcePorts = tuning.sourcePorts || SOURCE_PORTS[config.mode];
  const wanted = (offload: Offload): boolean => !without.includes(offload);
  const tun = openDevice(config, opening, workers > 1);
  const sockets: number[] = [];
  try {
    const offloads = new Set(setDeviceOffloads(tun, wanted));
    if (config.mode === 'ipip') {
      const raw = openIpipDescriptors(config.localAddress);
      for (const offload of findMessageCalls(raw[0], wanted)) offloads.add(offload);
      return { tun, sockets: raw, offloads };
    }
    const wish = { udpSegment: wanted('udp-segment'), udpGro: wanted('udp-gro'), zeroChecksum };
    const first = openOffloadSocket(config.localAddress, config.port, { ...wish, isShared: workers > 1 });
    sockets.push(first.fd);
    for (let i = 1; i < sourcePorts; i++) {
      // Port 0: one that the kernel picks.
      const { fd } = openOffloadSocket(config.localAddress, 0, { ...wish, udpGro: false, isShared: false });
      sockets.push(fd);
      // Nobody reads it, and nobody is to fill its queue.
      attachFilter(fd, encodeProgram([[OP.return, 0, 0, DROP]]));
    }
    if (first.udpSegment) offloads.add('udp-segment');
    if (first.udpGro) offloads.add('udp-gro');
    for (const offload of findMessageCalls(first.fd, wanted)) offloads.add(offload);
    return { tun, sockets, offloads };
  } catch (error) {
    for (const socket of sockets) close(socket);
    close(tun);
    throw error;
  }
}

function openDevice(config: PlaneConfig, opening: TunOpening, isMultiQueue: boolean): number {
  const kind = config.mode === 'vxlan' ? 'tap' : 'tun';
  const { deviceName: name } = config;
  let tun = openOffloadedTun(kind, name, { opening, isMultiQueue });
  if (opening === 'adopt' && tun < 0) {
    // It was made with another number of queues: it goes, and another one takes its place.
    removePersistentTun(kind, name);
    tun = openOffloadedTun(kind, name, { opening: 'make', isMultiQueue });
  }
  if (tun < 0) throw new ExitError(EXIT.environment, refusal(kind, name, errnoName(-tun)));
  return tun;
}

function refusal(kind: string, name: string, code: string): string {
  switch (code) {
    case 'ENOENT':
    case 'ENODEV':
      return `cannot open a ${kind} device for "${name}": /dev/net/tun is missing (in a container: --device /dev/net/tun)`;
    case 'EPERM':
    case 'EACCES':
      return `cannot open a ${kind} device for "${name}": not permitted (needs the capability NET_ADMIN and access to /dev/net/tun)`;
    case 'EBUSY':
    case 'EEXIST':
      return `cannot name the ${kind} device "${name}": a link of that name exists already`;
    default:
      return `cannot open a ${kind} device for "${name}": ${code}`;
  }
}
