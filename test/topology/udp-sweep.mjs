// One UDP datagram of every size, there and back, each with content of its own that both ends check. One at a time, and
// again where no answer comes: what is asked is whether it arrives as it was sent, not how many do.
//
//   udp-sweep.mjs echo <address> <port>                             prints "listening"; ends when it is killed
//   udp-sweep.mjs send <port> <address>,<from>,<to>,<step> ...      prints how many sizes came back right; fails where one is wrong

import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const RETRY_MS = 200;
const RETRIES = 20;
const [role, ...rest] = process.argv.slice(2);

const contentOf = (size) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + size * 7) & 255));

function echo(host, port) {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (bytes, from) => {
    // What arrived wrong goes back empty.
    const isRight = bytes.equals(contentOf(bytes.length));
    socket.send(isRight ? bytes : Buffer.alloc(0), from.port, from.address, () => undefined);
  });
  socket.bind(port, host, () => process.stdout.write('listening\n'));
}

/** Resolves with how many sizes came back right. */
async function sweep(port, host, first, last, step) {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.connect(port, host);
  await once(socket, 'connect');
  let right = 0;
  for (let size = first; size <= last; size += step) {
    const content = contentOf(size);
    let answer;
    for (let retry = 0; retry < RETRIES && answer === undefined; retry++) {
      socket.send(content);
      answer = await answerOf(socket, size);
    }
    if (answer === undefined || !answer.equals(content)) {
      process.stderr.write(`${host}, size ${size}: ${answer === undefined ? 'no answer' : 'other bytes'}\n`);
      process.exit(1);
    }
    right++;
  }
  socket.close();
  return right;
}

/** The next answer of that size, or an empty one; `undefined` where none comes. Late ones of other sizes were asked for twice. */
async function answerOf(socket, size) {
  const signal = AbortSignal.timeout(RETRY_MS);
  try {
    for (;;) {
      const [bytes] = await once(socket, 'message', { signal });
      if (bytes.length === size || bytes.length === 0) return bytes;
    }
  } catch {
    return undefined;
  }
}

if (role === 'echo') {
  echo(rest[0], Number(rest[1]));
} else {
  let right = 0;
  for (const each of rest.slice(1)) {
    const [host, ...sizes] = each.split(',');
    right += await sweep(Number(rest[0]), host, ...sizes.map(Number));
  }
  process.stdout.write(`${right}\n`);
}
