// The small parts around the kernel: error names, settings, families of nexthop objects, features, refusals in words.
// No kernel is asked, but for one setting that every kernel refuses to change.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { errnoName, errnoNumber, permissionText } from '../../../../lib/kernel/errno.ts';
import { type KernelChange, type Route, TABLE_MAIN } from '../../../../lib/kernel/kernel.ts';
import { probeKernelFeatures } from '../../../../lib/kernel/kernel-features.ts';
import { describeChange, invalidValue } from '../../../../lib/kernel/kernel-requests.ts';
import { NexthopFamilies } from '../../../../lib/kernel/nexthop-families.ts';
import { ensureSysctl, readSysctl } from '../../../../lib/kernel/sysctl.ts';
import type { Family } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { FakeKernel } from '../../../fakes/fake-kernel.ts';

describe('error numbers', () => {
  test('have the names that callers decide on', () => {
    for (const name of ['EPERM', 'EAGAIN', 'EOPNOTSUPP', 'ENODEV', 'EEXIST', 'ENOBUFS', 'EHOSTUNREACH'] as const) {
      expect(errnoName(constants.errno[name])).toBe(name);
      expect(errnoNumber(name)).toBe(constants.errno[name]);
    }
    expect(errnoName(4095)).toBe('E4095');
  });

  test('that are about permission say which one is missing', () => {
    expect(permissionText('EPERM')).toMatch(/CAP_NET_ADMIN/);
    expect([permissionText('ENODEV'), permissionText('EACCES')]).toEqual([undefined, undefined]);
  });
});

describe('kernel settings', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'gh-sysctl-'));
    mkdirSync(join(root, 'net/ipv4'), { recursive: true });
    writeFileSync(join(root, 'net/ipv4/ip_forward'), '0\n');
  });

  afterEach(() => rmSync(root, { recursive: true }));

  test('are read without their line end, and are undefined where absent', () => {
    expect(readSysctl('net/ipv4/ip_forward', root)).toBe('0');
    expect(readSysctl('net/ipv6/forwarding', root)).toBeUndefined();
  });

  test('are written once', () => {
    expect(ensureSysctl('net/ipv4/ip_forward', '1', root)).toBe('written');
    expect(ensureSysctl('net/ipv4/ip_forward', '1', root)).toBe('already');
    expect(ensureSysctl('net/ipv6/forwarding', '1', root)).toBe('absent');
  });

  test('that cannot be written are refused', () => {
    // Root may write everywhere but here: this one is read-only in every kernel.
    expect(ensureSysctl('kernel/ostype', 'Plan 9', '/proc/sys')).toBe('refused');
  });
});

describe('families of nexthop objects', () => {
  const hop = { id: 1, protocol: 71, family: 6, hop: { linkIndex: 2 } } as const;
  const group = { id: 9, protocol: 71, group: [{ id: 1, weight: 1 }] };

  test('of groups are those of their members', () => {
    const families = new NexthopFamilies(() => undefined);
    families.learn(hop);
    expect(families.complete(group).family).toBe(6);
  });

  test('are asked for once where a member is not known', () => {
    const asked: number[] = [];
    const families = new NexthopFamilies((id): Family => {
      asked.push(id);
      return 6;
    });
    expect(families.complete(group).family).toBe(6);
    expect(families.complete(group).family).toBe(6);
    expect(asked).toEqual([1]);
  });

  test('outlive the members while the group is known, and are 4 where nothing is', () => {
    const families = new NexthopFamilies(() => undefined);
    families.complete(hop);
    families.complete(group);
    families.forget(1);
    expect(families.complete(group).family).toBe(6);
    families.forget(9);
    expect(families.complete(group).family).toBe(4);
  });
});

describe('changes', () => {
  const route: Route = {
    table: TABLE_MAIN,
    prefix: prefix('10.5.1.0/24'),
    tos: 0,
    metric: 0,
    protocol: 71,
    type: 'unicast',
    nextHops: [],
  };

  test.each<[KernelChange, string]>([
    [{ op: 'put', kind: 'route', route }, 'put route 10.5.1.0/24'],
    [
      { op: 'delete', kind: 'route', route: { ...route, metric: 7, table: 9 } },
      'delete route 10.5.1.0/24 table 9 metric 7',
    ],
    [{ op: 'delete', kind: 'nexthop', id: 5 }, 'delete nexthop 5'],
    [{ op: 'put', kind: 'link', link: { name: 'cni0' } }, 'put link cni0'],
  ])('are named for logs', (change, text) => {
    expect(describeChange(change)).toBe(text);
  });

  test.each([0, 257, 1.5, Number.NaN])('with a weight of %d are invalid', (weight) => {
    const change: KernelChange = {
      op: 'put',
      kind: 'route',
      route: { ...route, nextHops: [{ linkIndex: 1, weight }] },
    };
    expect(invalidValue(change)).toContain(`weight ${weight}`);
  });
});

test('nexthop objects are a feature; other failures are failures', async () => {
  const kernel = new FakeKernel();
  expect(await probeKernelFeatures(kernel)).toEqual({ nexthopObjects: true });
  kernel.failNext('list nexthop', 'unsupported');
  expect(await probeKernelFeatures(kernel)).toEqual({ nexthopObjects: false });
  kernel.failNext('list nexthop', 'socket');
  await expect(probeKernelFeatures(kernel)).rejects.toMatchObject({ code: 'socket' });
  kernel.assertFailuresConsumed();
});
