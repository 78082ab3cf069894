// Records of processes, and the reason that an ended one leaves in its log.
//
// Starting and ending processes is shown on a real lab in test/topology.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { identifyProcess } from '../../../ctl/process-identity.ts';
import { lastWords, livingProcess, type ProcessPlace } from '../../../lab/lab-process.ts';

let place: ProcessPlace;

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gh-lab-'));
  place = { title: 'node1/felix', name: 'felix', namespace: 'gh-none', folder };
});

afterEach(() => rm(place.folder, { recursive: true, force: true }));

it('believes a record only of the very process', async () => {
  const own = identifyProcess(process.pid);
  expect(livingProcess(place)).toBeUndefined();
  await writeFile(join(place.folder, 'felix.process.json'), JSON.stringify(own));
  expect(livingProcess(place)).toEqual(own);
  await writeFile(join(place.folder, 'felix.process.json'), JSON.stringify({ ...own, startTicks: 1 }));
  expect(livingProcess(place)).toBeUndefined();
  await writeFile(join(place.folder, 'felix.process.json'), '{"pid":');
  expect(livingProcess(place)).toBeUndefined();
});

it.each([
  ['{"level":30,"msg":"started"}\n{"level":60,"msg":"no feed","err":{"message":"refused"}}\n', 'no feed: refused'],
  ['{"level":60,"msg":"needs NET_ADMIN"}\n', 'needs NET_ADMIN'],
  ['started\nfelix: --feed "x" is not accepted\n', 'felix: --feed "x" is not accepted'],
  [`${'x'.repeat(9_000)}\nlast line`, 'last line'],
  ['', 'it wrote nothing'],
])('finds the reason at the end of the log', async (log, reason) => {
  await writeFile(join(place.folder, 'felix.log'), log);
  expect(lastWords(place)).toBe(reason);
});

it('has a word for a log that is not there', () => {
  expect(lastWords(place)).toBe('it wrote nothing');
});
