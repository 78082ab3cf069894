// That somebody changed nftables, as one call without details: who wants to know what, lists it.
//
// A multicast socket of NETLINK_NETFILTER. Messages are looked through for a table's name and nothing else: every kind of
// nftables message carries the name of its table as text (include/uapi/linux/netfilter/nf_tables.h, NFTA_*_TABLE).

import { viewOf } from '../wire/netlink-attributes.ts';
import { setU16 } from '../wire/netlink-writer.ts';
import { errnoNumber } from './errno.ts';
import {
  AF_NETLINK,
  bind,
  close,
  MSG,
  receive,
  SO_RCVBUFFORCE,
  SOCK,
  SOL_SOCKET,
  setSocketOption,
  socket,
  watchReadable,
} from './syscalls.ts';

const EAGAIN = errnoNumber('EAGAIN');
const EINTR = errnoNumber('EINTR');
const NETLINK_NETFILTER = 12;
/** include/uapi/linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES. */
const GROUP_NFTABLES = 7;
const SOL_NETLINK = 270;
const ADD_MEMBERSHIP = 1;
const SOCKADDR_LENGTH = 12;
const RECEIVE_BYTES = 64 * 1024;
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
/** Datagrams in one go; what is left makes the socket readable again. */
const DATAGRAMS_MAX = 256;

/**
 * Calls `onChange` after changes that may be about the table `name`, ours included, and after notifications were lost.
 * The returned function ends it. `undefined` where this kernel has no such notifications.
 */
export function watchNftables(name: string, onChange: () => void): (() => void) | undefined {
  const fd = socket(AF_NETLINK, SOCK.raw | SOCK.closeOnExec | SOCK.nonBlock, NETLINK_NETFILTER);
  if (fd < 0) return undefined;
  const own = new Uint8Array(SOCKADDR_LENGTH);
  setU16({ view: viewOf(own) }, 0, AF_NETLINK);
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
  if (bind(fd, own) < 0 || setSocketOption(fd, SOL_NETLINK, ADD_MEMBERSHIP, GROUP_NFTABLES) < 0) {
    close(fd);
    return undefined;
  }
  const bytes = Buffer.alloc(RECEIVE_BYTES);
  const text = Buffer.from(`${name}\0`);
  const unwatch = watchReadable(fd, () => {
    let changed = false;
    for (let read = 0; read < DATAGRAMS_MAX; read++) {
      const length = receive(fd, bytes, MSG.dontWait);
      if (length === -EAGAIN || length === -EINTR) break;
      // Any other failure is an overrun: something was missed.
      changed ||= length < 0 || bytes.subarray(0, length).includes(text);
    }
    if (changed) onChange();
  });
  return () => {
    unwatch();
    close(fd);
  };
}
