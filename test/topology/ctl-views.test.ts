// The gingham command's views on a live cluster: table, JSON and exit code, with all well, one node dead, etcd dead, and
// without any daemon. A lab of three nodes, of which the command sees node1.
//
// What the doctor finds is in ctl-doctor.test.ts.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doctorAnswer } from '../../ctl/doctor/doctor.ts';
import { dropsAnswer } from '../../ctl/drops.ts';
import { eventAnswer } from '../../ctl/events.ts';
import { leasesAnswer } from '../../ctl/leases.ts';
import { nodesAnswer } from '../../ctl/nodes.ts';
import { peersAnswer } from '../../ctl/peers.ts';
import { topAnswer } from '../../ctl/top.ts';
import { eventually } from '../eventually.ts';
import { answerOf, ctlWords, gingham, labForTests, PATIENCE } from './ctl-command.ts';
import { labOk, startLab } from './lab-command.ts';

const COLUMNS_MAX = 100;

const execute = promisify(execFile);
const { name, folder } = labForTests();

const VIEWS = [
  { view: 'status', first: /^DAEMON +OK +CHECK +DETAIL$/ },
  { view: 'nodes', first: /^NODE +UNDERLAY +SUBNET +REACHED +SESSION +ROUTES$/ },
  { view: 'peers', first: /^PEER +ADDRESS +STATE +SINCE +IN +OUT +BFD +WHY DOWN$/ },
  { view: 'leases', first: /^NODE +SUBNET +PUBLIC IP +REACHED +LEFT +NOTE$/ },
] as const;

async function codesOfViews(): Promise<Readonly<Record<string, number | null>>> {
  const outcomes = await Promise.all(VIEWS.map(async ({ view }) => [view, (await gingham(name, view)).code] as const));
  return Object.fromEntries(outcomes);
}

describe('all is well', () => {
  it.each(VIEWS)('$view: a table in 100 columns without colours, exit code 0', async ({ view, first }) => {
    const { code, stdout } = await gingham(name, view);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(first);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(COLUMNS_MAX);
    expect(stdout).not.toContain('\x1b');
    expect(code).toBe(0);
  });

  it('the same as JSON of the stated shape', async () => {
    const nodes = await answerOf(name, nodesAnswer, 'nodes');
    expect(nodes).toMatchObject({ node: 'node1', fromEtcd: true });
    expect(nodes.nodes.map(({ node, session }) => [node, session])).toEqual([
      ['node1', null],
      ['node2', 'Established'],
      ['node3', 'Established'],
    ]);
    expect(await answerOf(name, peersAnswer, 'peers')).toMatchObject({ established: 2, draining: false });
    const { leases, source } = await answerOf(name, leasesAnswer, 'leases');
    expect([source, leases.length, leases.every(({ programmed }) => programmed)]).toEqual(['etcd', 3, true]);
    expect((await answerOf(name, dropsAnswer, 'drops')).notSeen).toEqual([]);
  });

  it('top: rates from the second look on', async () => {
    const { stdout, code } = await gingham(name, 'top', '--json', '--count', '2', '--interval', '200');
    const looks = stdout
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => topAnswer.parse(JSON.parse(line)));
    expect(looks).toHaveLength(2);
    expect(looks[0]?.tunnel).toBeUndefined();
    expect(looks[1]).toMatchObject({ sessions: { up: 2, total: 2 }, routes: { programmed: 4, wanted: 4 } });
    expect(looks[1]?.tunnel?.inPackets).toBeGreaterThanOrEqual(0);
    expect(looks[1]?.daemons.every(({ ready, cpuPercent }) => ready && cpuPercent !== undefined)).toBe(true);
    expect(code).toBe(0);
  });

  it('doctor: nothing is wrong', async () => {
    const { findings, failed } = await answerOf(name, doctorAnswer, 'doctor');
    expect(findings.filter(({ state }) => state === 'fail')).toEqual([]);
    expect(failed).toBe(0);
    const { stdout, code } = await gingham(name, 'doctor');
    expect(stdout).toContain('node3 is reached');
    expect(code).toBe(0);
  });

  it('events: of all daemons, in order, and with --follow what comes next', async () => {
    const { stdout, code } = await gingham(name, 'events', '--json');
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => eventAnswer.parse(JSON.parse(line)));
    expect(new Set(events.map(({ daemon }) => daemon))).toEqual(new Set(['flanneld', 'bgpd', 'felix']));
    expect(events.map(({ at }) => at)).toEqual(events.map(({ at }) => at).toSorted());
    expect(code).toBe(0);
    const following = startLab(name, 'exec', 'node1', '--', ...ctlWords(name), 'events', '--follow');
    let told = '';
    following.stdout?.on('data', (bytes) => {
      told += String(bytes);
    });
    const ended = new Promise((resolve) => following.once('close', resolve));
    try {
      await eventually('it tells what was', () => told.includes('felix'), PATIENCE);
      const before = told.length;
      await labOk(name, 'kill', 'node2/bgpd');
      await eventually('it tells what comes', () => /bgpd .*node2/.test(told.slice(before)), PATIENCE);
    } finally {
      following.kill('SIGTERM');
      await ended;
      await labOk(name, 'start', 'node2/bgpd');
    }
    await eventually('all peers are back', async () => (await gingham(name, 'peers')).code === 0, PATIENCE);
  });

  it('bundle: an archive with states, tables and logs', async () => {
    const file = join(folder(), 'bundle.tar.gz');
    const { stdout, code } = await gingham(name, 'bundle', '--output', file);
    expect([stdout, code]).toEqual([expect.stringContaining(file), 0]);
    const { stdout: listing } = await execute('tar', ['-tzf', file]);
    for (const part of [
      'flanneld/status.txt',
      'bgpd/metrics.txt',
      'system/routes4.txt',
      'doctor.json',
      'run/subnet.env',
    ])
      expect(listing).toContain(part);
  });
});

describe('one node dead', () => {
  beforeAll(async () => {
    for (const daemon of ['flanneld', 'bgpd', 'felix']) await labOk(name, 'kill', `node3/${daemon}`);
    await eventually('node1 knows', async () => (await gingham(name, 'peers')).code === 1, PATIENCE);
  });
  afterAll(async () => {
    for (const daemon of ['flanneld', 'bgpd', 'felix']) await labOk(name, 'start', `node3/${daemon}`);
    await eventually('all is well again', async () => (await gingham(name, 'doctor')).code === 0, PATIENCE);
  });

  it('the views say which, and why; its lease goes on', async () => {
    expect(await codesOfViews()).toEqual({ status: 0, nodes: 1, peers: 1, leases: 0 });
    const { peers } = await answerOf(name, peersAnswer, 'peers');
    expect(peers.find(({ node }) => node === 'node3')).toMatchObject({
      state: expect.not.stringMatching('Established'),
      down: expect.stringMatching(/^(refused|connection-lost|bfd-down|hold-expired)$/),
      whyDown: expect.stringMatching(/./),
    });
  });
});

describe('etcd dead', () => {
  it('the views answer from memory, the doctor says that etcd does not', async () => {
    await labOk(name, 'kill', 'etcd');
    const memory = async (): Promise<boolean> => (await answerOf(name, leasesAnswer, 'leases')).source !== 'etcd';
    await eventually('flanneld serves from memory', memory, PATIENCE);
    expect((await answerOf(name, nodesAnswer, 'nodes')).fromEtcd).toBe(false);
    expect(await codesOfViews()).toMatchObject({ nodes: 0, peers: 0, leases: 0 });
    expect((await gingham(name, 'leases')).stdout).toMatch(/^from memory since /m);
    const { findings } = await answerOf(name, doctorAnswer, 'doctor');
    expect(findings).toContainEqual(expect.objectContaining({ check: 'etcd answers', state: 'fail' }));
  });
});

describe('no daemon at all', () => {
  it.each(['nodes', 'peers', 'leases', 'drops'])('%s: exit code 4 and one line', async (view) => {
    const { code, stderr, stdout } = await gingham(name, '--run-dir', folder(), view);
    expect([code, stdout]).toEqual([4, '']);
    expect(stderr).toMatch(/^gingham: (flanneld|bgpd) has not started: there is no .*\n$/);
  });
});
