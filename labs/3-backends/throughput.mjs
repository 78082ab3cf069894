// TCP from one pod to another, and how fast: `throughput.mjs serve` in one, `throughput.mjs ADDRESS` in the other.
//
// Counts what the receiver got, which it answers with at the end. Three seconds, one stream.

import { connect, createServer } from 'node:net';

const PORT = 5201;
const SECONDS = 3;
const CHUNK = Buffer.alloc(128 * 1024);

const [to = 'serve'] = process.argv.slice(2);
if (to === 'serve') {
  createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('end', () => socket.end(String(bytes)));
    socket.on('error', () => socket.destroy());
  }).listen(PORT);
} else {
  const socket = connect(PORT, to);
  const started = performance.now();
  let answer = '';
  socket.on('data', (text) => {
    answer += text;
  });
  socket.on('end', () => {
    const seconds = (performance.now() - started) / 1000;
    process.stdout.write(`TCP: ${((Number(answer) * 8) / seconds / 1e9).toFixed(2)} Gbit/s\n`);
  });
  socket.on('error', (error) => {
    process.stderr.write(`no answer from ${to}: ${error.message}\n`);
    process.exitCode = 1;
  });
  const more = () => {
    while ((performance.now() - started) / 1000 < SECONDS)
      if (!socket.write(CHUNK)) return void socket.once('drain', more);
    socket.end();
  };
  socket.once('connect', more);
}
