// The lab's own link: delays and loses what leaves one interface, where the kernel has no netem. A process for each end.
//
//   interface --egress hook: fwd--> TAP --> this process, held or lost --> AF_PACKET with a mark --> interface --> wire
//
// Arguments: device, delay in ms, loss in percent, seed. Prints "ready"; ends with its input, or with "stay" for a fifth
// argument only when it is killed. Its rules are taken away by whoever started it, or go with the namespace. Delays are right to about a millisecond.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { addressOf, POLL_IN, POLLFD, pollAt, readAt } from '../../lib/kernel/packet-syscalls.ts';
import { makeThreadRealTime } from '../../lib/kernel/thread-priority.ts';
import { openOffloadedTun } from '../../lib/kernel/tun-device.ts';
import { runMain } from '../../lib/run/lifecycle.ts';
import { DelayLine } from './delay-line.ts';
import { openFrameSocket, sendFrame } from './frame-socket.ts';
import { LINK_MARK, linkRules, linkTap } from './link-rules.ts';

/** Before each frame of the TAP: no offload is asked for, so that it says nothing. */
const VIRTIO_HEADER_BYTES = 10;
const FRAME_MAX = 65_536;
const BATCH = 64;
const IDLE_MS = 100;

await runMain(async () => {
  const [device = '', delay = '0', loss = '0', seed = '1', life] = process.argv.slice(2);
  const tapName = linkTap(device);
  const tap = opened(`TAP ${tapName}`, openOffloadedTun('tap', tapName, { opening: 'make', isMultiQueue: false }));
  execFileSync('ip', ['link', 'set', tapName, 'up']);
  const index = Number(readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8'));
  const out = opened(device, openFrameSocket(index, LINK_MARK));
  execFileSync('nft', ['-f', '-'], { input: linkRules(device) });
  process.stdout.write('ready\n');
  // A link that waits for the CPU would be a worse one than was asked for; without the right it has to do.
  makeThreadRealTime();
  relay(tap, out, new DelayLine(Number(delay), Number(loss), Number(seed)), life === 'stay');
});

/** Runs until the input has ended, for the lab closed it or is gone; `stays`: for ever. */
function relay(tap: number, out: number, line: DelayLine<Uint8Array>, stays: boolean): void {
  const frame = new Uint8Array(FRAME_MAX);
  const frameAt = addressOf(frame);
  const entries = new Uint8Array(2 * POLLFD.length);
  const view = new DataView(entries.buffer);
  for (const [at, fd] of [tap, 0].entries()) {
    view.setInt32(at * POLLFD.length + POLLFD.fd, fd, true);
    view.setInt16(at * POLLFD.length + POLLFD.events, POLL_IN, true);
  }
  const entriesAt = addressOf(entries);
  for (;;) {
    pollAt(entriesAt, stays ? 1 : 2, Math.ceil(line.waitMs(performance.now()) ?? IDLE_MS));
    if (view.getInt16(POLLFD.length + POLLFD.revents, true) !== 0) return;
    for (let i = 0; i < BATCH; i++) {
      const length = readAt(tap, frameAt, FRAME_MAX);
      if (length <= VIRTIO_HEADER_BYTES) break;
      line.add(frame.slice(VIRTIO_HEADER_BYTES, length), performance.now());
    }
    for (let due = line.take(performance.now()); due !== undefined; due = line.take(performance.now())) {
      sendFrame(out, due);
    }
  }
}

function opened(what: string, fd: number): number {
  if (fd < 0) throw new Error(`the link cannot open ${what}: errno ${-fd}`);
  return fd;
}
