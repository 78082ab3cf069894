// The policy of the FORWARD chains of the old iptables (ip_tables, ip6_tables), which nftables neither lists nor can
// overrule. Read only, through getsockopt(2) as the iptables program does it. Sources: include/uapi/linux/netfilter_ipv4/
// ip_tables.h, netfilter_ipv6/ip6_tables.h, netfilter/x_tables.h.
//
// struct ipt_getinfo:     name[32]  valid_hooks  hook_entry[5]  underflow[5]  num_entries  size
// struct ipt_get_entries: name[32]  size  (4)    then the entries; that of a chain's policy is at underflow[hook]
// struct ipt_entry:       ... target_offset (16 bits) ...   at target_offset: size, name, revision (32 bytes), verdict
//
// The confusing thing: asking for a table makes it. So it is only asked for where /proc says that it is there.

import { readFileSync } from 'node:fs';
import type { Family } from '../net/address.ts';
import { getU16, getU32, HOST_IS_LITTLE_ENDIAN, viewOf } from '../wire/netlink-attributes.ts';
import { setU32 } from '../wire/netlink-writer.ts';
import { close, libcFunction, result, SOCK, socket } from './syscalls.ts';

const IPPROTO_RAW = 255;
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;
const NAME_LENGTH = 32;
const INFO = { underflow: 56, size: 80, length: 84 } as const;
const HOOK_FORWARD = 2;
const ENTRIES = { size: 32, first: 40 } as const;
const TARGET_HEADER_LENGTH = 32;
/** -NF_DROP - 1, as xt_standard_target says it. */
const VERDICT_DROP = -1;

const KIND: Readonly<
  Record<
    Family,
    { readonly domain: number; readonly level: number; readonly names: string; readonly targetOffset: number }
  >
> = {
  4: { domain: 2, level: 0, names: '/proc/thread-self/net/ip_tables_names', targetOffset: 88 },
  6: { domain: 10, level: 41, names: '/proc/thread-self/net/ip6_tables_names', targetOffset: 140 },
};

/**
 * Whether the old iptables' FORWARD chain of this family drops what no rule of it accepts; false too where that table is
 * not in use or cannot be read. Throws nothing.
 */
export function legacyForwardDrops(family: Family): boolean {
  const { domain, level, names, targetOffset } = KIND[family];
  if (!isInUse(names)) return false;
  const fd = socket(domain, SOCK.raw | SOCK.closeOnExec, IPPROTO_RAW);
  if (fd < 0) return false;
  try {
    const info = named(INFO.length);
    if (ask(fd, level, SO_GET_INFO, info) < 0) return false;
    const size = getU32(viewOf(info), INFO.size);
    const entries = named(ENTRIES.first + size);
    setU32({ view: viewOf(entries) }, ENTRIES.size, size);
    if (ask(fd, level, SO_GET_ENTRIES, entries) < 0) return false;
    const view = viewOf(entries);
    const policy = ENTRIES.first + getU32(viewOf(info), INFO.underflow + 4 * HOOK_FORWARD);
    const verdict = policy + getU16(view, policy + targetOffset) + TARGET_HEADER_LENGTH;
    return view.getInt32(verdict, HOST_IS_LITTLE_ENDIAN) === VERDICT_DROP;
  } catch (error) {
    // The table is not as the headers say: nothing is known of it.
    if (error instanceof RangeError) return false;
    throw error;
  } finally {
    close(fd);
  }
}

function isInUse(names: string): boolean {
  try {
    return readFileSync(names, 'utf8').split('\n').includes('filter');
  } catch {
    return false;
  }
}

function named(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(Buffer.from('filter').subarray(0, NAME_LENGTH));
  return bytes;
}

function ask(fd: number, level: number, option: number, bytes: Uint8Array): number {
  const length = new Uint8Array(4);
  setU32({ view: viewOf(length) }, 0, bytes.length);
  getsockopt ??= libcFunction('int getsockopt(int fd, int level, int option, void *value, void *length)');
  return result(getsockopt(fd, level, option, bytes, length));
}

let getsockopt:
  | ((fd: number, level: number, option: number, value: Uint8Array, length: Uint8Array) => number)
  | undefined;
