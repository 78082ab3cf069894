// A peer as the forwarding table has it: where its datagrams go. One object per place in the table, written anew when
// another peer takes the place, so that a change makes no garbage. Nobody keeps one beyond the packets that it is for.

import type { Address, Family } from '../../lib/net/address.ts';
import { writeU32 } from '../../lib/wire/bytes.ts';
import { NO_LIST } from './list-pool.ts';
import { AF_INET, AF_INET6, addressOfSocketAddress, SOCKADDR, SOCKADDR_LENGTH } from './socket-address.ts';

export class TableEntry {
  /** Of the endpoint: a socket of the other family cannot reach it. */
  family: Family = 4;
  port = 0;
  /** The socket address to send to; of IPv4 the first 16 bytes. */
  readonly name = new Uint8Array(SOCKADDR_LENGTH[6]);
  /** MAC address of the VTEP, split for comparing with a frame; -1 where it has none. */
  macHigh = -1;
  macLow = 0;
  /** The table's own: number of the endpoint, -1 where the place is empty; prefixes, as a list. */
  endpoint = -1;
  prefixes = NO_LIST;
  #text: Address | undefined;

  /** Underlay address. */
  get address(): Address {
    this.#text ??= addressOfSocketAddress(this.name, 0);
    return this.#text as Address;
  }

  /** Takes the address of `words`, beginning at `at`, and a port. */
  setName(family: Family, words: Int32Array, at: number, port: number): void {
    const { name } = this;
    this.family = family;
    this.port = port;
    this.#text = undefined;
    name.fill(0);
    name[SOCKADDR.family] = family === 4 ? AF_INET : AF_INET6;
    name[SOCKADDR.port] = port >> 8;
    name[SOCKADDR.port + 1] = port;
    const addressAt = family === 4 ? SOCKADDR.address4 : SOCKADDR.address6;
    for (let i = 0; i < (family === 4 ? 1 : 4); i++) writeU32(name, addressAt + 4 * i, words[at + i] as number);
  }
}
