// struct sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)) as bytes: where datagrams go, and where they came from.
// Scope and flow label of IPv6 stay zero: underlay addresses are global.

import { type Address, addressBytes, addressFromBytes, familyOf } from '../../lib/net/address.ts';

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCKADDR = { family: 0, port: 2, address4: 4, address6: 8 } as const;
export const SOCKADDR_LENGTH = { 4: 16, 6: 28 } as const;

/** The bytes of a socket address. */
export function socketAddress(address: Address, port: number): Uint8Array {
  const family = familyOf(address);
  const bytes = new Uint8Array(SOCKADDR_LENGTH[family]);
  bytes[SOCKADDR.family] = family === 4 ? AF_INET : AF_INET6;
  bytes[SOCKADDR.port] = port >> 8;
  bytes[SOCKADDR.port + 1] = port;
  bytes.set(addressBytes(address), family === 4 ? SOCKADDR.address4 : SOCKADDR.address6);
  return bytes;
}

/** The IP address in the socket address at `at`. */
export function addressOfSocketAddress(bytes: Uint8Array, at: number): Address | undefined {
  if (bytes[at] === AF_INET)
    return addressFromBytes(bytes.subarray(at + SOCKADDR.address4, at + SOCKADDR.address4 + 4));
  return addressFromBytes(bytes.subarray(at + SOCKADDR.address6, at + SOCKADDR.address6 + 16));
}
