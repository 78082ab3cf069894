// One NETLINK_ROUTE socket: batches of requests with their results, listings in slices, and notifications.
//
// It knows messages, not objects: callers encode and decode with lib/wire/rtnetlink-*.ts. The kernel works on a request
// inside send(2) and has queued the answer when that returns, so requests are plain synchronous calls that never wait.
//
// The confusing thing: in a batch only the last message asks for an acknowledgement. The kernel reports every failure
// anyway, in order, so no report means success, and half the work of a batch is saved. A report that did not fit into
// the receive buffer is not lost in silence: the next receive fails with ENOBUFS, and with it the whole batch.

import { decodeAck, decodeMessage, type NetlinkAck, type NetlinkMessage, NLM_F, NLMSG } from '../wire/netlink.ts';
import { getU32, isNetlinkError, type NetlinkError, viewOf } from '../wire/netlink-attributes.ts';
import { addFlags, type NetlinkWriter, netlinkWriter, setU16 } from '../wire/netlink-writer.ts';
import { errnoName, errnoNumber, permissionText } from './errno.ts';
import { KernelError } from './kernel.ts';
import {
  AF_NETLINK,
  attachFilter,
  bind,
  close,
  getSocketName,
  MSG,
  receive,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK,
  SOL_SOCKET,
  send,
  setSocketOption,
  socket,
} from './syscalls.ts';

/** Bytes of requests in one send: more than any single message takes (an attribute has at most 64 KiB). */
const SEND_BUFFER_BYTES = 1024 * 1024;
/** The kernel fills at most 32 KiB of a listing per receive; a single link can be larger than others. */
const RECEIVE_BUFFER_BYTES = 128 * 1024;
/** What the kernel may queue for us: the failures of a whole batch, or a burst of notifications. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

const NETLINK_ROUTE = 0;
const SOL_NETLINK = 270;
const OPTION = { addMembership: 1, capAck: 10, extendedAck: 11, strictCheck: 12 } as const;
const SOCKADDR_NL = { family: 0, port: 4, length: 12 } as const;

const EAGAIN = errnoNumber('EAGAIN');
const EINTR = errnoNumber('EINTR');
const ENOBUFS = errnoNumber('ENOBUFS');

/** Bytes are valid until the visitor returns. */
export type MessageVisitor = (bytes: Uint8Array, message: NetlinkMessage) => void;

/** How a listing ended. */
export interface DumpEnd {
  /** Number 0, or why the kernel refused it or broke off. */
  readonly ack: NetlinkAck;
  /** The table changed on the way: what was listed cannot be relied on. */
  readonly interrupted: boolean;
}

/** After any method has thrown, the socket is of no use: close it and open another. All that throw, throw `KernelError`. */
export class NetlinkSocket {
  readonly fd: number;
  /** Requests are written here, after `reset`. */
  readonly writer: NetlinkWriter = netlinkWriter(new Uint8Array(SEND_BUFFER_BYTES));
  readonly #received = new Uint8Array(RECEIVE_BUFFER_BYTES);
  readonly #view: DataView = viewOf(this.#received);
  /** The port id, by which the kernel names this socket. */
  readonly port: number;
  #sequence = 1;
  #firstSequence = 1;
  #interrupted = false;

  /** Opens a socket in the network namespace of the calling thread. */
  constructor() {
    this.fd = check(socket(AF_NETLINK, SOCK.raw | SOCK.closeOnExec | SOCK.nonBlock, NETLINK_ROUTE), 'socket');
    try {
      if (setSocketOption(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES) < 0) {
        setSocketOption(this.fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES);
      }
      // The kernel takes no more in one send than this; whoever may write routes may also raise it.
      if (setSocketOption(this.fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES) < 0) {
        setSocketOption(this.fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
      }
      // Kernels from before these options (4.20) lack the kernel's words and narrow no listing; both are done without.
      setSocketOption(this.fd, SOL_NETLINK, OPTION.capAck, 1);
      setSocketOption(this.fd, SOL_NETLINK, OPTION.extendedAck, 1);
      setSocketOption(this.fd, SOL_NETLINK, OPTION.strictCheck, 1);
      const name = new Uint8Array(SOCKADDR_NL.length);
      setU16({ view: viewOf(name) }, SOCKADDR_NL.family, AF_NETLINK);
      check(bind(this.fd, name), 'bind');
      check(getSocketName(this.fd, name), 'getsockname');
      this.port = getU32(viewOf(name), SOCKADDR_NL.port);
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** Starts a batch: empties the writer and returns the sequence number for its first message; count up from there. */
  reset(): number {
    this.writer.length = 0;
    // Keeps clear of the wrap-around, and of 0, which notifications carry.
    if (this.#sequence > 0xf000_0000) this.#sequence = 1;
    this.#firstSequence = this.#sequence;
    return this.#firstSequence;
  }

  /**
   * Sends the writer's `count` messages, the last of which starts at `lastStart`. The result has one entry per message:
   * `undefined` for success. `onReply` sees answers that are not acknowledgements. Returns when the kernel is done.
   */
  exchange(count: number, lastStart: number, onReply?: MessageVisitor): readonly (NetlinkAck | undefined)[] {
    addFlags(this.writer, lastStart, NLM_F.ack);
    const first = this.#firstSequence;
    this.#sequence = first + count;
    this.#send();
    const results: (NetlinkAck | undefined)[] = new Array(count).fill(undefined);
    let done = false;
    while (!done) {
      const length = this.#receive();
      if (length === 0) throw new KernelError('socket', 'netlink: the kernel did not acknowledge a request');
      this.#visit(length, (bytes, message) => {
        const index = message.sequence - first;
        if (message.type !== NLMSG.error) return onReply?.(bytes, message);
        const ack = this.#ack(message);
        if (ack.errno !== 0) results[index] = ack;
        done ||= index === count - 1;
      });
    }
    return results;
  }

  /** Sends the one listing request in the writer; `dumpPart` reads its answer. */
  startDump(): void {
    this.#sequence = this.#firstSequence + 1;
    this.#interrupted = false;
    this.#send();
  }

  /** Reads the next part of the listing; `undefined` where more is to come. Nothing else may be sent before its end. */
  dumpPart(visit: MessageVisitor): DumpEnd | undefined {
    const length = this.#receive();
    if (length === 0) throw new KernelError('socket', 'netlink: a listing stopped before its end');
    let end: DumpEnd | undefined;
    this.#visit(length, (bytes, message) => {
      if (message.flags & NLM_F.dumpInterrupted) this.#interrupted = true;
      if (message.type !== NLMSG.done && message.type !== NLMSG.error) return visit(bytes, message);
      end = { ack: this.#ack(message), interrupted: this.#interrupted };
    });
    return end;
  }

  /** Reads notifications of the joined groups, one datagram of them. `lost`: there were more than the socket could hold. */
  notifications(visit: MessageVisitor): 'some' | 'none' | 'lost' {
    const length = receive(this.fd, this.#received, MSG.dontWait | MSG.trunc);
    if (length === -EAGAIN || length === -EINTR) return 'none';
    if (length === -ENOBUFS || length > this.#received.length) return 'lost';
    check(length, 'receive');
    for (let at = 0; at < length; ) {
      const message = decodeMessage(this.#view, at, length);
      if (isNetlinkError(message)) return 'lost';
      visit(this.#received, message);
      at = message.next;
    }
    return 'some';
  }

  /** Joins a multicast group (RTNLGRP_*). False where the kernel does not know it. */
  join(group: number): boolean {
    return setSocketOption(this.fd, SOL_NETLINK, OPTION.addMembership, group) >= 0;
  }

  /** Lets a classic BPF program decide which datagrams come. False where the kernel refuses it. */
  filter(program: Uint8Array): boolean {
    return attachFilter(this.fd, program) >= 0;
  }

  close(): void {
    close(this.fd);
  }

  #send(): void {
    const { bytes, length } = this.writer;
    let sent = send(this.fd, bytes, length, 0);
    while (sent === -EINTR) sent = send(this.fd, bytes, length, 0);
    if (check(sent, 'send') !== length) throw new KernelError('socket', 'netlink: the kernel took part of a request');
  }

  /** Receives one datagram of answers; 0 where there is none. */
  #receive(): number {
    const length = receive(this.fd, this.#received, MSG.dontWait | MSG.trunc);
    if (length === -EINTR) return this.#receive();
    if (length === -EAGAIN) return 0;
    check(length, 'receive');
    if (length <= this.#received.length) return length;
    throw new KernelError('socket', `netlink: an answer of ${length} bytes was truncated`);
  }

  /** Calls `visitor` for each message, after having made sure that it answers the request at hand. */
  #visit(length: number, visitor: MessageVisitor): void {
    for (let at = 0; at < length; ) {
      const message = decodeMessage(this.#view, at, length);
      if (isNetlinkError(message)) throw malformed(message);
      at = message.next;
      const foreign = message.sequence < this.#firstSequence || message.sequence >= this.#sequence;
      if (foreign || message.port !== this.port) {
        throw new KernelError('socket', `netlink: an answer to another request (sequence ${message.sequence})`);
      }
      visitor(this.#received, message);
    }
  }

  #ack(message: NetlinkMessage): NetlinkAck {
    const ack = decodeAck(this.#received, message);
    if (isNetlinkError(ack)) throw malformed(ack);
    return ack;
  }
}

function check(result: number, call: string): number {
  if (result >= 0) return result;
  const code = errnoName(-result);
  const text = permissionText(code) ?? (code === 'ENOBUFS' ? 'the receive buffer overran: answers are lost' : code);
  throw new KernelError(permissionText(code) === undefined ? 'socket' : 'permission', `netlink ${call}: ${text}`);
}

function malformed({ error, field }: NetlinkError): KernelError {
  return new KernelError('socket', `netlink: malformed answer: ${field}: ${error}`);
}
