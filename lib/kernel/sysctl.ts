// Kernel settings under /proc/sys, such as net/ipv4/ip_forward: read, and brought to a value.
//
// Those under `net/` belong to the network namespace of the thread that opens the file, so these are synchronous calls:
// asynchronous ones of node:fs run on threads that may be in another namespace.

import { readFileSync, writeFileSync } from 'node:fs';

const ROOT = '/proc/sys';

/** `absent`: this kernel has no such setting (IPv6 is switched off, say). `refused`: read-only here, or no permission. */
export type SysctlOutcome = 'already' | 'written' | 'absent' | 'refused';

/** The setting's value without its line end, or `undefined` where it is absent or unreadable. `name` has slashes. */
export function readSysctl(name: string, root: string = ROOT): string | undefined {
  try {
    return readFileSync(`${root}/${name}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Gives the setting this value unless it has it. In a container /proc/sys is usually read-only: then only the host can. */
export function ensureSysctl(name: string, value: string, root: string = ROOT): SysctlOutcome {
  const current = readSysctl(name, root);
  if (current === undefined) return 'absent';
  if (current === value) return 'already';
  try {
    writeFileSync(`${root}/${name}`, value);
  } catch {
    return 'refused';
  }
  return readSysctl(name, root) === value ? 'written' : 'refused';
}
