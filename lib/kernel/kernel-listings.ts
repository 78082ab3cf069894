// Listings (netlink dumps) over a socket of their own: one at a time, in slices, and again where the table changed
// meanwhile (NLM_F_DUMP_INTR), for what such a listing says may lack objects that were there all the time.

import type { Logger } from '../run/log.ts';
import type { NetlinkAck } from '../wire/netlink.ts';
import { isNetlinkError, type NetlinkError } from '../wire/netlink-attributes.ts';
import { errnoName, permissionText } from './errno.ts';
import { KernelError, type KernelKind, type ListFilter } from './kernel.ts';
import { type DecodedObject, decodeObject, type EncodeList, listRequests, passesFilter } from './kernel-requests.ts';
import { type DumpEnd, NetlinkSocket } from './netlink-socket.ts';
import { slices } from './slices.ts';

/** Listings of a table that keeps changing, before giving up. */
const ATTEMPTS = 6;

/** An object as its message says it: of a group of next hops the family is not known. */
export type ListedObject<K extends KernelKind> = Extract<DecodedObject, { readonly kind: K }>['object'];

export class KernelListings {
  readonly #log: Logger | undefined;
  #socket: NetlinkSocket | undefined;
  /** Ends when the listing at work has. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(log: Logger | undefined) {
    this.#log = log;
  }

  /** All objects of a kind that pass the filter. Throws `KernelError`. */
  async list<K extends KernelKind>(kind: K, filter: ListFilter): Promise<ListedObject<K>[]> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const listing = this.#last.then(() => this.#listOnce(kind, filter));
      this.#last = listing.catch(() => undefined);
      const found = await listing;
      if (found !== undefined) return found;
    }
    throw new KernelError('dump-interrupted', `listing ${kind}: the table changed during each of ${ATTEMPTS} attempts`);
  }

  /** Ends the listing at work and refuses those to come. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
    this.#socket?.close();
    this.#socket = undefined;
  }

  /** `undefined` where the table changed meanwhile. */
  async #listOnce<K extends KernelKind>(kind: K, filter: ListFilter): Promise<ListedObject<K>[] | undefined> {
    this.#assertOpen();
    this.#socket ??= new NetlinkSocket();
    const found: ListedObject<K>[] = [];
    try {
      for (const encode of listRequests(kind, filter)) {
        const end = await this.#dump(this.#socket, kind, filter, encode, found);
        if (end.interrupted) return undefined;
        judgeEnd(kind, end.ack);
      }
    } catch (error) {
      this.#socket?.close();
      this.#socket = undefined;
      throw error;
    }
    return found;
  }

  async #dump<K extends KernelKind>(
    socket: NetlinkSocket,
    kind: K,
    filter: ListFilter,
    encode: EncodeList,
    found: ListedObject<K>[],
  ): Promise<DumpEnd> {
    const malformed: NetlinkError[] = [];
    const giveWay = slices();
    encode(socket.writer, socket.reset());
    socket.startDump();
    for (;;) {
      const end = socket.dumpPart((bytes, message) => {
        const decoded = decodeObject(bytes, message);
        if (decoded === undefined) return;
        if (isNetlinkError(decoded)) malformed.push(decoded);
        else if (decoded.kind === kind && !decoded.gone && passesFilter(decoded, filter)) {
          found.push(decoded.object as ListedObject<K>);
        }
      });
      if (end !== undefined) {
        // One object that we cannot read must not hide all others.
        if (malformed.length > 0)
          this.#log?.warn({ kind, count: malformed.length, ...malformed[0] }, 'left out of a listing');
        return end;
      }
      await giveWay();
      this.#assertOpen();
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new KernelError('socket', 'the kernel handle is closed');
  }
}

/** What a listing's own refusal means: nothing there, or an error. */
function judgeEnd(kind: KernelKind, { errno, message }: NetlinkAck): void {
  if (errno === 0) return;
  const code = errnoName(errno);
  // Narrowed to a table or link that does not exist.
  if (code === 'ENOENT' || code === 'ENODEV') return;
  const permission = permissionText(code);
  const reason = permission ?? message ?? code;
  throw new KernelError(permission === undefined ? 'unsupported' : 'permission', `listing ${kind}: ${reason}`);
}
