// A hostile sender at full rate: garbage of every kind from one address to a UDP port, hundreds of thousands a second.
// The kernel cuts each buffer into datagrams (UDP_SEGMENT), so that one process can be more than a receiver likes.
//
//   flood-sender.mjs <from address> <to address> <port> <per second> <hex of a valid datagram>    prints "flooding";
//   on SIGTERM prints {"sent", "perSecond"}

import { randomBytes, randomInt } from 'node:crypto';

const dist = process.env.GINGHAM_DIST ?? new URL('../../dist', import.meta.url).pathname;
const { bind, libcFunction, send, setSocketOption, socket } = await import(`${dist}/lib/kernel/syscalls.js`);

const { socketAddress } = await import(`${dist}/flanneld/dataplane/socket-address.js`);

const [from, to, port, rate, seed] = process.argv.slice(2);
const valid = Buffer.from(seed, 'hex');
const PER_BUFFER = 40;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const TURN_MS = 2;

const connect = libcFunction('int connect(int fd, const void *address, uint32_t length)');
const fd = socket(2, 2 | 0o4000, 0);
bind(fd, socketAddress(from, 0));
const name = socketAddress(to, Number(port));
connect(fd, name, name.length);

/** Where things are in a VXLAN datagram with IPv4 inside. */
const AT = { flags: 0, vni: 6, mac: 13, type: 20, version: 22, source: 34 };
/** One change each, so that each is caught by a check of its own. */
const KINDS = [
  (bytes) => randomBytes(bytes.length).copy(bytes),
  (bytes) => bytes.fill(0, AT.flags, AT.flags + 1),
  (bytes) => bytes.fill(0x77, AT.vni, AT.vni + 1),
  (bytes) => bytes.fill(0x77, AT.mac, AT.mac + 1),
  (bytes) => bytes.fill(0x77, AT.type, AT.type + 1),
  (bytes) => bytes.fill(0x4f, AT.version, AT.version + 1),
  // Source and destination change places: the checksum stays right, and the source is the receiver's own subnet.
  (bytes) =>
    Buffer.concat([bytes.subarray(AT.source + 4, AT.source + 8), bytes.subarray(AT.source, AT.source + 4)]).copy(
      bytes,
      AT.source,
    ),
  // Some of these bytes mean nothing, and the packet would be good: so the network is another one in any case.
  (bytes) => {
    bytes[AT.vni - 1] = 0x77;
    for (let changes = 1 + randomInt(3); changes > 0; changes--)
      bytes[AT.mac + randomInt(AT.version - AT.mac)] = randomInt(256);
  },
];

/** Datagrams of one size, one behind the other: each of a kind of its own, cut short or with padding behind it. */
function bufferOf(size) {
  const all = [];
  for (let i = 0; i < PER_BUFFER; i++) {
    const bytes = Buffer.alloc(Math.max(size, valid.length), 1);
    valid.copy(bytes);
    KINDS[i % KINDS.length](bytes);
    all.push(bytes.subarray(0, size));
  }
  return Buffer.concat(all);
}

const buffers = [4, 12, 40, valid.length, valid.length, 200, 1_400].map((size) => ({ size, bytes: bufferOf(size) }));
let sent = 0;
const startedMs = performance.now();
const flood = setInterval(() => {
  const due = ((performance.now() - startedMs) / 1000) * Number(rate);
  while (sent < due) {
    const { size, bytes } = buffers[Math.floor(sent / PER_BUFFER) % buffers.length];
    setSocketOption(fd, SOL_UDP, UDP_SEGMENT, size);
    if (send(fd, bytes, bytes.length, 0x40) < 0) break;
    sent += PER_BUFFER;
  }
}, TURN_MS);
process.stdout.write('flooding\n');
process.on('SIGTERM', () => {
  clearInterval(flood);
  const perSecond = Math.round((sent / (performance.now() - startedMs)) * 1000);
  process.stdout.write(`${JSON.stringify({ sent, perSecond })}\n`, () => process.exit(0));
});
