// A UDP socket whose filter drops all that comes: the least that a machine can do with a flood and still receive it.
// Not a measurement itself: dataplane-hostile.ts floods it to learn what the flood costs without a plane.
//
//   flood-sink.js <address> <port>        prints "sinking"; ends with its standard input

import { openOffloadSocket } from '../../flanneld/dataplane/offload-socket.ts';
import { DROP, encodeProgram, OP } from '../../lib/kernel/filter-program.ts';
import { attachFilter } from '../../lib/kernel/syscalls.ts';
import { address } from '../../lib/net/address.ts';

const [to = '', port = ''] = process.argv.slice(2);
const wish = { udpSegment: false, udpGro: false, isShared: false, zeroChecksum: false };
const { fd } = openOffloadSocket(address(to), Number(port), wish);
const code = attachFilter(fd, encodeProgram([[OP.return, 0, 0, DROP]]));
if (code < 0) throw new Error(`the filter was refused: ${code}`);
process.stdout.write('sinking\n');
process.stdin.on('end', () => process.exit(0)).resume();
