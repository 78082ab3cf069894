// Sends garbage to a UDP port, as fast as a socket takes it: random bytes, and VXLAN packets with random bytes changed.
// What it sends is different each time; the plane's answer to each kind is what the fuzz test pins down.
//
//   garbage-sender.mjs <address> <port> <count> <hex of a valid datagram>        prints how many were sent

import { randomBytes, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';

const PER_TURN = 64;
const MAX_BYTES = 1_400;
const [host, port, count, seed] = process.argv.slice(2);
const valid = Buffer.from(seed, 'hex');
const socket = createSocket('udp4');

function garbage() {
  if (randomInt(2) === 0) return randomBytes(randomInt(MAX_BYTES));
  const bytes = Buffer.from(valid.subarray(0, randomInt(4) === 0 ? randomInt(valid.length) : valid.length));
  for (let i = randomInt(4); i >= 0 && bytes.length > 0; i--) bytes[randomInt(bytes.length)] = randomInt(256);
  return bytes;
}

socket.connect(Number(port), host, () => {
  let sent = 0;
  const turn = () => {
    for (let i = 0; i < PER_TURN && sent < Number(count); i++, sent++) socket.send(garbage(), () => undefined);
    if (sent < Number(count)) setImmediate(turn);
    else socket.close(() => process.stdout.write(`${sent}\n`));
  };
  turn();
});
