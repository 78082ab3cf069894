// The thread of the batched driver: opens device and socket, says so, and turns batched-loop.ts until it is told to close.
// It is started by batched-plane.ts alone; what it is given is in batched-messages.ts.

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { errnoName } from '../../lib/kernel/errno.ts';
import { close } from '../../lib/kernel/syscalls.ts';
import { openOffloadedTun, setTunOffload, TUN_OFFLOAD } from '../../lib/kernel/tun-device.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import { BatchedLoop } from './batched-loop.ts';
import type { BatchedEvent, BatchedWorkerData } from './batched-messages.ts';
import type { PlaneConfig } from './data-plane.ts';
import { openOffloadSocket } from './offload-socket.ts';

const port = parentPort as MessagePort;
const say = (event: BatchedEvent): void => port.postMessage(event);

main(workerData as BatchedWorkerData);

function main({ config, stats, wakeFd }: BatchedWorkerData): void {
  let opened: { tun: number; socket: number; offloads: string };
  try {
    opened = openBoth(config);
  } catch (error) {
    say({ type: 'refused', message: errorText(error) });
    port.close();
    return;
  }
  const { tun, socket, offloads } = opened;
  try {
    const plane = new BatchedLoop(config, { tun, socket, wake: wakeFd, port }, new Float64Array(stats));
    say({ type: 'opened', offloads });
    plane.run();
  } catch (error) {
    say({ type: 'failed', message: errorText(error) });
  } finally {
    close(socket);
    close(tun);
    port.close();
  }
}

/** Device and socket, with what the kernel offers. Throws `ExitError` (environment). */
function openBoth(config: PlaneConfig): { tun: number; socket: number; offloads: string } {
  const kind = config.mode === 'vxlan' ? 'tap' : 'tun';
  const tun = openOffloadedTun(kind, config.deviceName);
  if (tun < 0) throw new ExitError(EXIT.environment, refusal(kind, config.deviceName, errnoName(-tun)));
  try {
    const wanted = TUN_OFFLOAD.checksum | TUN_OFFLOAD.tso4 | TUN_OFFLOAD.tso6;
    const code = setTunOffload(tun, wanted | TUN_OFFLOAD.tsoEcn);
    if (code < 0) {
      throw new ExitError(
        EXIT.environment,
        `the ${kind} device has no TCP offload (${errnoName(-code)}): use --io tuntap`,
      );
    }
    return {
      tun,
      socket: openOffloadSocket(config.localAddress, config.port),
      offloads: 'TSO4, TSO6, UDP_SEGMENT, UDP_GRO',
    };
  } catch (error) {
    close(tun);
    throw error;
  }
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
