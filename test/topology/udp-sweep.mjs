// One UDP datagram of every size, there and back, each with content of its own that both ends check. One at a time, and
// again where no answer comes: what is asked is whether it arrives as it was sent, not how many do.
//
//   udp-sweep.mjs echo <address> <port>                          prints "listening"; ends when it is killed
//   udp-sweep.mjs send <address> <port> <from> <to> <step>       prints how many sizes came back right; fails where one is wrong

import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const RETRY_MS = 200;
const RETRIES = 20;
const [role, host, port, ...sizes] = process.argv.slice(2);
const type = host.includes(':') ? 'udp6' : 'udp4';

const contentOf = (size) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + size * 7) & 255));

if (role === 'echo') {
  const socket = createSocket(type);
  socket.on('message', (bytes, from) => {
    // What arrived wrong goes back empty.
    const isRight = bytes.equals(contentOf(bytes.length));
    socket.send(isRight ? bytes : Buffer.alloc(0), from.port, from.address, () => undefined);
  });
  socket.bind(Number(port), host, () => process.stdout.write('listening\n'));
} else {
  const [first, last, step] = sizes.map(Number);
  const socket = createSocket(type);
  socket.connect(Number(port), host);
  await once(socket, 'connect');
  let right = 0;
  for (let size = first; size <= last; size += step) {
    const content = contentOf(size);
    let answer;
    for (let retry = 0; retry < RETRIES && answer === undefined; retry++) {
      const timer = AbortSignal.timeout(RETRY_MS);
      socket.send(content);
      answer = await once(socket, 'message', { signal: timer }).then(
        ([bytes]) => bytes,
        () => undefined,
      );
    }
    if (answer === undefined || !answer.equals(content)) {
      process.stderr.write(`size ${size}: ${answer === undefined ? 'no answer' : `${answer.length} other bytes`}\n`);
      process.exit(1);
    }
    right++;
  }
  process.stdout.write(`${right}\n`);
  socket.close();
}
