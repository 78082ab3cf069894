// The kernel's error numbers by name, and what an operator should read for those that are about privileges.
//
// Numbers are this machine's (they differ between architectures), so nothing else in the code holds one.

import { constants } from 'node:os';
import type { ErrnoName } from './kernel.ts';

const NAMES: ReadonlyMap<number, ErrnoName> = new Map(
  Object.entries(constants.errno)
    // Two names for one number: EAGAIN and EOPNOTSUPP are what callers decide on.
    .filter(([name]) => name !== 'EWOULDBLOCK' && name !== 'ENOTSUP')
    .map(([name, number]) => [number, name]),
);

/** `ENODEV` for 19, and so on; `E<number>` for a number without a name. */
export function errnoName(errno: number): ErrnoName {
  return NAMES.get(errno) ?? `E${errno}`;
}

/** The number of an error name. */
export function errnoNumber(name: keyof typeof constants.errno): number {
  return constants.errno[name];
}

/** What to say about EPERM, which the kernel does not explain; `undefined` for the others (EACCES is about IPv6 switched off). */
export function permissionText(code: ErrnoName): string | undefined {
  return code === 'EPERM'
    ? 'no permission: CAP_NET_ADMIN (capability NET_ADMIN) is missing in this network namespace'
    : undefined;
}
