// Packets and bytes of one network device, as the kernel counts them in /proc/net/dev (of this network namespace).
//
// Read when somebody asks, never kept. "Dropped" is what the device or its queue gave up; why is not known here.

import { readFileSync } from 'node:fs';

/** Columns of /proc/net/dev after the name (Linux, net/core/net-procfs.c, dev_seq_printf_stats). */
const COLUMNS = {
  rxBytes: 0,
  rxPackets: 1,
  rxErrors: 2,
  rxDropped: 3,
  txBytes: 8,
  txPackets: 9,
  txErrors: 10,
  txDropped: 11,
};

export type DeviceCounters = Readonly<Record<keyof typeof COLUMNS, number>>;

/** The counters of `device`; `undefined` where there is no such device. */
export function readDeviceCounters(device: string): DeviceCounters | undefined {
  return parseDeviceCounters(readFileSync('/proc/net/dev', 'utf8'), device);
}

/** The same from a text in the form of /proc/net/dev. */
export function parseDeviceCounters(text: string, device: string): DeviceCounters | undefined {
  const line = text.split('\n').find((candidate) => candidate.trimStart().startsWith(`${device}:`));
  if (line === undefined) return undefined;
  const values = line
    .slice(line.indexOf(':') + 1)
    .trim()
    .split(/\s+/);
  const pairs = Object.entries(COLUMNS).map(([name, column]) => [name, Number(values[column])]);
  return Object.fromEntries(pairs) as DeviceCounters;
}
