// Records of pods in a folder, and what flanneld offers of them. The folder and its notifications are real.
// What bgpd makes of these groups is in the tests of its RibFeed.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { offerPods, POD_GROUPS_FROM } from '../../../flanneld/pod-feed.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { podRecordFolder, podRecordName } from '../../../lib/pod-record.ts';
import { eventually } from '../../eventually.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

let runFolder: string;
let table: FeedTable;
let clock: FakeClock;
let stop: () => Promise<void>;

beforeEach(() => {
  runFolder = mkdtempSync(join(tmpdir(), 'gh-pods-'));
  table = new FeedTable();
  clock = new FakeClock();
  stop = async () => undefined;
});

afterEach(async () => {
  await stop();
  rmSync(runFolder, { recursive: true, force: true });
});

function follow(): void {
  stop = offerPods({ runFolder, node: 'n1', table, clock, log: pino({ level: 'silent' }) });
}

function path(hostInterface: string): string {
  return join(podRecordFolder(runFolder), podRecordName(hostInterface));
}

function writeRecord(hostInterface: string, ...addresses: readonly string[]): void {
  writeText(hostInterface, { addresses });
}

function writeText(hostInterface: string, more: object): void {
  mkdirSync(podRecordFolder(runFolder), { recursive: true });
  const temporary = join(podRecordFolder(runFolder), '.new');
  const record = { containerId: 'c', ifname: 'eth0', network: 'n', hostInterface, ...more };
  writeFileSync(temporary, JSON.stringify(record));
  renameSync(temporary, path(hostInterface));
}

function deviceOf(text: string): string | undefined {
  const group = table.groups.get(table.groupOf(prefix(text)) ?? 0);
  return group?.nextHops[0]?.device;
}

test('what is there at the start is offered at once: a local group by the host interface, both families', () => {
  writeRecord('gh1', '10.5.1.9', 'fd00::9');
  follow();
  expect(deviceOf('10.5.1.9/32')).toBe('gh1');
  const id = table.groupOf(prefix('fd00::9/128')) ?? 0;
  expect(id).toBeGreaterThanOrEqual(POD_GROUPS_FROM);
  expect(table.groups.get(id)).toMatchObject({ kind: 'unicast', local: true, node: 'n1' });
});

test('gateways and MAC of a record are what the interface needs; a record that says neither needs nothing', () => {
  const addresses = ['10.5.1.9', 'fd00::9'];
  writeText('gh1', { addresses, gateways: ['169.254.1.1', 'fe80::1'], mac: '0a:58:0a:05:01:09' });
  writeText('gh2', { addresses: ['10.5.1.10'], gateways: ['169.254.1.1'] });
  writeText('gh3', { addresses: ['10.5.1.11'] });
  writeText('gh4', { addresses: ['10.5.1.12'], mac: 'not a MAC address' });
  follow();
  const attachmentOf = (text: string) => table.groups.get(table.groupOf(prefix(text)) ?? 0)?.attachment;
  const neighbours = addresses.map((each) => ({ address: each, mac: '0a:58:0a:05:01:09' }));
  expect(attachmentOf('10.5.1.9/32')).toEqual({ device: 'gh1', addresses: ['169.254.1.1', 'fe80::1'], neighbours });
  expect(attachmentOf('10.5.1.10/32')).toEqual({ device: 'gh2', addresses: ['169.254.1.1'], neighbours: [] });
  expect(deviceOf('10.5.1.11/32')).toBe('gh3');
  expect(attachmentOf('10.5.1.11/32')).toBeUndefined();
  expect(deviceOf('10.5.1.12/32')).toBeUndefined();
});

test('records that come, change and go are followed', async () => {
  follow();
  writeRecord('gh1', '10.5.1.9');
  await eventually('the pod is offered', () => deviceOf('10.5.1.9/32') === 'gh1');
  writeRecord('gh1', '10.5.1.10');
  await eventually('its other address is', () => deviceOf('10.5.1.10/32') === 'gh1' && table.routeCount === 1);
  rmSync(path('gh1'));
  await eventually('it is gone', () => table.routeCount === 0 && table.groups.size === 0);
});

test('a pod has the same group after a restart, whatever else is there', async () => {
  writeRecord('gh2', '10.5.1.9');
  follow();
  const before = table.groupOf(prefix('10.5.1.9/32'));
  await stop();
  table = new FeedTable();
  writeRecord('gh1', '10.5.1.8');
  follow();
  expect(table.groupOf(prefix('10.5.1.9/32'))).toBe(before);
});

test('a record that cannot be read is left out, and offered once it can be', async () => {
  writeRecord('gh1', 'nonsense');
  follow();
  expect(table.groups.size).toBe(0);
  writeRecord('gh1', '10.5.1.9');
  await eventually('it is offered', () => deviceOf('10.5.1.9/32') === 'gh1');
});

test('a folder that was removed and made again is found within a minute', async () => {
  follow();
  rmSync(podRecordFolder(runFolder), { recursive: true });
  writeRecord('gh1', '10.5.1.9');
  clock.advance(60_000);
  await eventually('it is offered', () => deviceOf('10.5.1.9/32') === 'gh1');
});
