// What the tuntap driver sends and receives IP-in-IP with: two raw sockets, protocol 4 for IPv4 inside (RFC 2003) and 41
// for IPv6 inside (RFC 4213), for node:dgram knows UDP alone. Unlike a UDP socket here it sets DSCP and ECN.
//
// The kernel fragments what is larger than the path and puts fragments together; what it hands over begins with the outer
// header. Nobody has a port: who sent a packet is its outer source address and nothing else.

import { errnoName } from '../../lib/kernel/errno.ts';
import { openRawSocket, receiveRaw, sendRaw, setTypeOfService } from '../../lib/kernel/raw-socket.ts';
import { close, watchReadable } from '../../lib/kernel/syscalls.ts';
import { type Address, addressBytes, addressFromBytes, familyOf } from '../../lib/net/address.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { readI32 } from '../../lib/wire/bytes.ts';
import { IPV4, IPV4_LENGTH, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { SOCKADDR_LENGTH } from './socket-address.ts';
import type { TableEntry } from './table-entry.ts';
import type { PlaneSocket, SendOutcome } from './tuntap-socket.ts';

const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
const PACKET_BYTES = 65_536;
/** Packets read per turn of the event loop and socket. */
const PACKETS_PER_TURN = 32;
/** Senders whose text form is kept. */
const SENDER_CACHE_LIMIT = 10_000;
/** -errno that mean "not now". */
const FULL: readonly string[] = ['EAGAIN', 'ENOBUFS', 'ENOMEM'];
/** Errors that belong to a packet, or that an ICMP message brought: there is more to read behind them. */
const PASSING: readonly string[] = ['EINTR', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EPROTO', 'EMSGSIZE'];

interface RawSocket {
  readonly fd: number;
  /** What `setTypeOfService` was last told. */
  tos: number;
  unwatch: () => void;
}

/** Throws `ExitError` (environment) as `openIpipDescriptors`. */
export function openIpipSocket(localAddress: Address): PlaneSocket {
  const [first, second] = openIpipDescriptors(localAddress);
  return new IpipSocket({
    4: { fd: first, tos: 0, unwatch: () => undefined },
    6: { fd: second, tos: 0, unwatch: () => undefined },
  });
}

/**
 * Two non-blocking raw sockets: for IPv4 inside, for IPv6 inside. Throws `ExitError` (environment): no CAP_NET_RAW, an
 * address that is not this node's, IPv6.
 */
export function openIpipDescriptors(localAddress: Address): readonly [number, number] {
  if (familyOf(localAddress) !== 4) {
    throw new ExitError(EXIT.environment, `ipip needs an IPv4 underlay, and ${localAddress} is IPv6: use vxlan or udp`);
  }
  const first = open(PROTOCOL.ipv4, localAddress);
  try {
    return [first, open(PROTOCOL.ipv6, localAddress)];
  } catch (error) {
    close(first);
    throw error;
  }
}

class IpipSocket implements PlaneSocket {
  readonly family = 4;
  /** By the family inside. */
  readonly #sockets: Readonly<Record<4 | 6, RawSocket>>;
  readonly #senders = new Map<number, string>();
  readonly #buffer = new Uint8Array(new ArrayBuffer(PACKET_BYTES));
  #isOpen = true;

  constructor(sockets: Readonly<Record<4 | 6, RawSocket>>) {
    this.#sockets = sockets;
  }

  listen(
    take: (sender: string, bytes: Uint8Array, at: number, length: number) => void,
    fail: (error: Error) => void,
  ): void {
    for (const raw of Object.values(this.#sockets)) {
      raw.unwatch = watchReadable(raw.fd, () => this.#read(raw.fd, take, fail));
    }
  }

  send(
    entry: TableEntry,
    bytes: Uint8Array,
    at: number,
    length: number,
    outerTos: number,
    done: (outcome: SendOutcome) => void,
  ): boolean {
    const raw = this.#sockets[(bytes[at] as number) >> 4 === 6 ? 6 : 4];
    if (raw.tos !== outerTos && setTypeOfService(raw.fd, outerTos) >= 0) raw.tos = outerTos;
    const name = entry.name.subarray(0, SOCKADDR_LENGTH[4]);
    const sent = sendRaw(raw.fd, bytes.subarray(at, at + length), name);
    done(sent >= 0 ? 'sent' : FULL.includes(errnoName(-sent)) ? 'full' : 'failed');
    return false;
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const { fd, unwatch } of Object.values(this.#sockets)) {
      unwatch();
      close(fd);
    }
  }

  #read(
    fd: number,
    take: (sender: string, bytes: Uint8Array, at: number, length: number) => void,
    fail: (error: Error) => void,
  ): void {
    for (let i = 0; i < PACKETS_PER_TURN && this.#isOpen; i++) {
      const length = receiveRaw(fd, this.#buffer);
      if (length < 0) {
        const code = errnoName(-length);
        if (PASSING.includes(code)) continue;
        if (!FULL.includes(code)) fail(new Error(`receiving failed: ${code}`));
        return;
      }
      if (length >= IPV4_LENGTH) take(this.#sender(), this.#buffer, 0, length);
    }
  }

  /** The text form of the outer source address of what is in the buffer. */
  #sender(): string {
    const key = readI32(this.#buffer, IPV4.source);
    const known = this.#senders.get(key);
    if (known !== undefined) return known;
    const text = addressFromBytes(this.#buffer.subarray(IPV4.source, IPV4.source + 4)) ?? '';
    if (this.#senders.size < SENDER_CACHE_LIMIT) this.#senders.set(key, text);
    return text;
  }
}

function open(protocol: number, localAddress: Address): number {
  const fd = openRawSocket(protocol, addressBytes(localAddress), SOCKET_BUFFER_BYTES);
  if (fd >= 0) return fd;
  const code = errnoName(-fd);
  const reason = code === 'EPERM' ? 'not permitted (needs the capability NET_RAW)' : code;
  throw new ExitError(
    EXIT.environment,
    `cannot open a raw socket for IP protocol ${protocol} on ${localAddress}: ${reason}`,
  );
}
