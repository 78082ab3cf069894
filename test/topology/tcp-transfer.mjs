// One TCP transfer whose content is checked, as a process of its own on either side.
// It prints the SHA-256 of what went by, so that equal lines mean equal bytes:
//
//   tcp-transfer.mjs receive <address> <port>            prints "listening", then the hash of what came
//   tcp-transfer.mjs send <address> <port> <bytes>       prints the hash of what it sent

import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';

const CHUNK_BYTES = 65_536;
const [role, host, port, bytes] = process.argv.slice(2);
const hash = createHash('sha256');

if (role === 'receive') {
  const server = createServer((socket) => {
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => {
      process.stdout.write(`${hash.digest('hex')}\n`);
      socket.end();
      server.close();
    });
  });
  server.listen(Number(port), host, () => process.stdout.write('listening\n'));
} else {
  const socket = connect(Number(port), host);
  socket.resume();
  await pipeline(function* () {
    for (let left = Number(bytes); left > 0; left -= CHUNK_BYTES) {
      const chunk = randomBytes(Math.min(left, CHUNK_BYTES));
      hash.update(chunk);
      yield chunk;
    }
  }, socket);
  process.stdout.write(`${hash.digest('hex')}\n`);
}
