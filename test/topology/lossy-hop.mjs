// A hop of the underlay that loses and reorders: it takes what either node sends to its address and passes it on to the
// other one, from its own address. Both nodes know each other by that address. Plain JavaScript on top of dist/, because
// it runs as a process of its own; netem, which could do this, is not in every kernel.
//
//   lossy-hop.mjs <udp port, or "ipip"> <own address> <address> <address>     prints "ready", on SIGTERM what it did

import { createSocket } from 'node:dgram';

const dist = process.env.GINGHAM_DIST ?? new URL('../../dist', import.meta.url).pathname;
const LOST_OF_100 = 1;
const HELD_OF_100 = 2;
/** A packet that is held goes after so many others, or after so long. */
const HELD_PACKETS = 3;
const HELD_MS = 5;
const PACKETS_PER_TURN = 64;

const [kind, own, first, second] = process.argv.slice(2);
const counts = { passed: 0, lost: 0, held: 0 };
let state = 1;

/** A linear congruential generator: the same losses in each run. */
function dice(limit) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) % limit;
}

/** Gives what passes packets on in one direction, by way of `send`. */
function direction(send) {
  const held = [];
  const release = (entry) => {
    if (!held.includes(entry)) return;
    held.splice(held.indexOf(entry), 1);
    clearTimeout(entry.timer);
    send(entry.bytes);
  };
  return (bytes) => {
    if (dice(100) < LOST_OF_100) {
      counts.lost++;
      return;
    }
    if (dice(100) < HELD_OF_100) {
      counts.held++;
      const entry = { bytes: Buffer.from(bytes), left: HELD_PACKETS };
      entry.timer = setTimeout(() => release(entry), HELD_MS);
      held.push(entry);
      return;
    }
    counts.passed++;
    send(bytes);
    for (const entry of [...held]) if (--entry.left === 0) release(entry);
  };
}

function relayUdp(port) {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 });
  const onward = new Map([
    [first, direction((bytes) => socket.send(bytes, port, second, () => undefined))],
    [second, direction((bytes) => socket.send(bytes, port, first, () => undefined))],
  ]);
  socket.on('message', (bytes, { address }) => onward.get(address)?.(bytes));
  socket.bind(port, own, () => process.stdout.write('ready\n'));
}

async function relayIpip() {
  const { openRawSocket, rawSocketAddress, receiveRaw, sendRaw } = await import(`${dist}/lib/kernel/raw-socket.js`);
  const { watchReadable } = await import(`${dist}/lib/kernel/syscalls.js`);
  const bytesOf = (text) => Uint8Array.from(text.split('.').map(Number));
  const buffer = new Uint8Array(65_536);
  for (const protocol of [4, 41]) {
    const fd = openRawSocket(protocol, bytesOf(own), 8 << 20);
    const onwardTo = (address) => {
      const name = rawSocketAddress(bytesOf(address));
      return direction((bytes) => sendRaw(fd, bytes, name));
    };
    const onward = new Map([
      [first, onwardTo(second)],
      [second, onwardTo(first)],
    ]);
    watchReadable(fd, () => {
      for (let i = 0; i < PACKETS_PER_TURN; i++) {
        const length = receiveRaw(fd, buffer);
        if (length < 0) return;
        const sender = buffer.subarray(12, 16).join('.');
        onward.get(sender)?.(buffer.slice((buffer[0] & 15) * 4, length));
      }
    });
  }
  process.stdout.write('ready\n');
}

process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(counts)}\n`, () => process.exit(0));
});
if (kind === 'ipip') await relayIpip();
else relayUdp(Number(kind));
