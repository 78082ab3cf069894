// The gingham command's views on a live cluster: table, JSON and exit code, with all well, one node dead, etcd dead, and
// without any daemon. A lab of three nodes, of which the command sees node1.
//
// What the doctor finds is in ctl-doctor.test.ts.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { doctorAnswer } from '../../ctl/doctor/doctor.ts';
import { dropsAnswer } from '../../ctl/drops.ts';
import { eventAnswer } from '../../ctl/events.ts';
import { leasesAnswer } from '../../ctl/leases.ts';
import { statusAnswer } from '../../ctl/node-status.ts';
import { nodesAnswer } from '../../ctl/nodes.ts';
import { peersAnswer } from '../../ctl/peers.ts';
import { routesAnswer } from '../../ctl/routes.ts';
import { topAnswer } from '../../ctl/top.ts';
import { eventually } from '../eventually.ts';
import { answerOf, ctlWords, gingham, labForTests, PATIENCE } from './ctl-command.ts';
import { labOk, startLab } from './lab-command.ts';

const COLUMNS_MAX = 100;

const execute = promisify(execFile);
const { name, folder } = labForTests();

/** In which the cluster is while the commands are tried. */
const STATES = ['all well', 'node3 dead', 'etcd dead'] as const;
type State = (typeof STATES)[number];

/** What `ping --json` and the lists of pods print: no page of the reference, for no program reads them but tests. */
const pingAnswer = z.strictObject({
  pairs: z.number(),
  lost: z.number(),
  results: z.array(z.object({ to: z.string(), address: z.string(), sent: z.number(), received: z.number() }).loose()),
});

interface View {
  /** `SUBNET` stands for the subnet of node2. */
  readonly words: string;
  /** First line of what is printed for people. */
  readonly first: RegExp;
  /** Of what `--json` prints, line by line. */
  readonly schema?: z.ZodType;
  /** Where it is 1; else it is 0. */
  readonly failsWith?: readonly State[];
}

const VIEWS: readonly View[] = [
  { words: 'status', first: /^DAEMON +OK +CHECK +DETAIL$/, schema: statusAnswer },
  {
    ...{ words: 'status --all', schema: nodesAnswer, failsWith: ['node3 dead'] },
    first: /^NODE +UNDERLAY +SUBNET +REACHED +SESSION +ROUTES +READY$/,
  },
  {
    ...{ words: 'nodes', schema: nodesAnswer, failsWith: ['node3 dead'] },
    first: /^NODE +UNDERLAY +SUBNET +REACHED +SESSION +ROUTES$/,
  },
  {
    ...{ words: 'peers', schema: peersAnswer, failsWith: ['node3 dead'] },
    first: /^PEER +ADDRESS +STATE +SINCE +IN +OUT +BFD +WHY DOWN$/,
  },
  { words: 'leases', first: /^NODE +SUBNET +PUBLIC IP +REACHED +LEFT +NOTE$/, schema: leasesAnswer },
  { words: 'drops', first: /^(COUNT +WHERE +WHY|nothing .*)$/, schema: dropsAnswer },
  { words: 'routes', first: /^PREFIX +BEST FROM +NEXT HOPS +PATHS +DECIDED BY$/, schema: routesAnswer },
  { words: 'routes SUBNET', first: /^PREFIX +BEST FROM +NEXT HOPS +PATHS +DECIDED BY$/, schema: routesAnswer },
  { words: 'routes SUBNET --explain', first: /^10\.5\.\d+\.0\/24$/, schema: routesAnswer },
  { words: 'events', first: /^\d\d:\d\d:\d\d\.\d{3} (flanneld|bgpd|felix) /, schema: eventAnswer },
  { words: 'top --count 1', first: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, schema: topAnswer },
  { words: 'doctor', first: /^ +CHECK +SEEN$/, schema: doctorAnswer, failsWith: ['node3 dead', 'etcd dead'] },
  { words: 'ping', first: /^NODE +POD +REPLIES +MEAN TIME$/, schema: pingAnswer, failsWith: ['node3 dead'] },
  { words: 'pod list', first: /^NAME +ADDRESS +NODE +PID +COMMAND$/, schema: z.tuple([]) },
  { words: 'ipam show', first: /^ADDRESS +NETWORK +CONTAINER +INTERFACE +HOST INTERFACE +SINCE$/, schema: z.tuple([]) },
  {
    ...{ words: 'ipam check', first: /^0 addresses, nothing amiss$/ },
    schema: z.strictObject({ addresses: z.literal(0), problems: z.tuple([]) }),
  },
  { words: 'health bgpd', first: /^$/ },
  { words: 'pod-exec -- echo in the pod', first: /^in the pod$/ },
  { words: 'completion fish', first: /^# fish completion of gingham/ },
];

/** Lines that are no table: as wide as what they tell. */
const WIDE = /^(events|completion)/;

let subnet = '';

beforeAll(async () => {
  const { leases } = await answerOf(name, leasesAnswer, 'leases');
  subnet = leases.find(({ node }) => node === 'node2')?.subnet ?? '';
});

/** Every command in this state: exit code, table and JSON. */
function tryCommands(state: State): void {
  it.concurrent.each(VIEWS)('$words', async ({ words, first, schema, failsWith = [] }) => {
    const args = words.replace('SUBNET', subnet).split(' ');
    const { code, stdout, stderr } = await gingham(name, ...args);
    expect([code, stderr]).toEqual([failsWith.includes(state) ? 1 : 0, '']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(first);
    expect(stdout).not.toContain('\x1b');
    if (!WIDE.test(words)) expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(COLUMNS_MAX);
    if (schema === undefined) return;
    const json = await gingham(name, ...args, '--json');
    expect(json.code).toBe(code);
    for (const line of json.stdout.trimEnd().split('\n')) schema.parse(JSON.parse(line));
  });

  it('drain, undrain', async () => {
    for (const [words, told] of [
      ['drain', /^draining: [12] peers were told\n$/],
      ['undrain', /^in service: [12] peers were told\n$/],
    ] as const) {
      const { code, stdout, stderr } = await gingham(name, words);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(told);
    }
  });
}

describe('all is well', () => {
  tryCommands('all well');

  it('what they say is so', async () => {
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
    // Its record would be forgotten after half a minute: without a lease it stays, however long the tests take.
    const etcdctl = ['env', 'ETCDCTL_API=3', 'etcdctl', '--endpoints', 'http://127.0.0.1:2379'];
    await labOk(name, 'exec', 'etcd', '--', ...etcdctl, 'put', '/gingham/nodes/node3', '--ignore-value');
    await eventually('node1 knows', async () => (await gingham(name, 'peers')).code === 1, PATIENCE);
  });
  afterAll(async () => {
    for (const daemon of ['flanneld', 'bgpd', 'felix']) await labOk(name, 'start', `node3/${daemon}`);
    await eventually('all is well again', async () => (await gingham(name, 'doctor')).code === 0, PATIENCE);
  });

  tryCommands('node3 dead');

  it('the peers say which, and why', async () => {
    const { peers } = await answerOf(name, peersAnswer, 'peers');
    expect(peers.find(({ node }) => node === 'node3')).toMatchObject({
      state: expect.not.stringMatching('Established'),
      down: expect.stringMatching(/^(refused|connection-lost|bfd-down|hold-expired)$/),
      whyDown: expect.stringMatching(/./),
    });
  });
});

describe('etcd dead', () => {
  beforeAll(async () => {
    await labOk(name, 'kill', 'etcd');
    const memory = async (): Promise<boolean> => (await answerOf(name, leasesAnswer, 'leases')).source !== 'etcd';
    await eventually('flanneld serves from memory', memory, PATIENCE);
  });

  tryCommands('etcd dead');

  it('the views answer from memory, the doctor says that etcd does not', async () => {
    expect((await answerOf(name, nodesAnswer, 'nodes')).fromEtcd).toBe(false);
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
