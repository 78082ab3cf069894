// Everything that two nodes may send each other through a tunnel: ping, TCP in bulk and UDP of every size, both ways, IPv4 and
// IPv6 inside. What arrives has the bytes that were sent; how the tunnel is made is the caller's business.

import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { eventually } from '../eventually.ts';
import { inside, type Side, start, transfer } from './dataplane-rig.ts';

const SWEEP_SCRIPT = fileURLToPath(new URL('udp-sweep.mjs', import.meta.url));
const ECHO_PORT = 7_000;
/** IP and UDP headers. */
const HEADER_BYTES = { 4: 28, 6: 48 } as const;

export interface Exchange {
  readonly mtuBytes: number;
  readonly tcpBytes: number;
  /** Of UDP, bytes from one size to the next; 1 and the largest that fits are always among them. */
  readonly udpStep: number;
}

/** Rejects, or fails an expectation, where anything arrives wrong or not at all. Both ways at once. */
export async function exchangeAll(a: Side, b: Side, how: Exchange): Promise<void> {
  await Promise.all([sendAll(a, b, how), sendAll(b, a, how)]);
}

/** One datagram of each size there and back, checked at both ends; then some that the sender must fragment. */
export async function sweepUdp(from: Side, to: Side, mtuBytes: number, step: number): Promise<void> {
  const echo = start(to, `${process.execPath} ${SWEEP_SCRIPT} echo :: ${ECHO_PORT}`);
  try {
    let said = '';
    echo.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await eventually('the echo to listen', () => said.includes('listening'));
    const sweeps = [to.overlay4, to.overlay6].flatMap((host) => {
      const largest = mtuBytes - HEADER_BYTES[host.includes(':') ? 6 : 4];
      // Counted from the largest down, so that it is among them.
      const first = 1 + ((largest - 1) % step);
      return [`${host},1,1,1`, `${host},${first},${largest},${step}`, `${host},${largest + 1},20000,6007`];
    });
    const sizes = Number(
      await inside(from, `${process.execPath} ${SWEEP_SCRIPT} send ${ECHO_PORT} ${sweeps.join(' ')}`),
    );
    expect(sizes).toBeGreaterThan((2 * (mtuBytes - HEADER_BYTES[6])) / step);
  } finally {
    echo.kill('SIGKILL');
  }
}

async function sendAll(from: Side, to: Side, { mtuBytes, tcpBytes, udpStep }: Exchange): Promise<void> {
  await sweepUdp(from, to, mtuBytes, udpStep);
  for (const host of [to.overlay4, to.overlay6]) {
    const largest = mtuBytes - HEADER_BYTES[host.includes(':') ? 6 : 4];
    // One byte, the largest packet that fits, and one that the sender must fragment; ping fails where nothing is answered.
    for (const size of ['-s 1', `-M do -s ${largest}`, '-s 9000']) {
      await inside(from, `ping -c 4 -i 0.02 -W 2 ${size} ${host}`);
    }
    const { sent, received } = await transfer(from, to, host, tcpBytes);
    expect(received).toBe(sent);
  }
}
