// Counters of a device out of /proc/net/dev: names with dots, columns that have grown together with the name, no such device.
//
// The text is in the kernel's own form.

import { expect, it } from 'vitest';
import { parseDeviceCounters, readDeviceCounters } from '../../../flanneld/device-counters.ts';

const TEXT = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       2    3    4    0     0          0         0        5       6    7    8    0     0       0          0
flannel.1:1276468    5754    0    1    0     0          0         0   438210    5816    0    9    0     0       0          0
`;

it('reads the columns of the named device', () => {
  expect(parseDeviceCounters(TEXT, 'flannel.1')).toEqual({
    ...{ rxBytes: 1_276_468, rxPackets: 5_754, rxErrors: 0, rxDropped: 1 },
    ...{ txBytes: 438_210, txPackets: 5_816, txErrors: 0, txDropped: 9 },
  });
  expect(parseDeviceCounters(TEXT, 'lo')).toMatchObject({ rxBytes: 1, txDropped: 8 });
});

it('gives nothing for a device that is not there', () => {
  expect(parseDeviceCounters(TEXT, 'flannel')).toBeUndefined();
  expect(readDeviceCounters('gh-no-such')).toBeUndefined();
  expect(readDeviceCounters('lo')).toBeDefined();
});
