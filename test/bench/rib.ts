// The route exchange: 100,000 routes from one bgpd to another, BIRD and gobgpd at the same where they are installed, a
// reflector with many clients, and a session with a hold time of 3 s while all routes are listed again and again.
//
// Two processes, two namespaces, one cable. What is measured and from when: rib-speakers.ts.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import { type BenchNode, NodePair } from './node-pair.ts';
import { rivalRow } from './rib-rivals.ts';
import { manyPrefixes, PlayedNode, Speaker, until, whereIs } from './rib-speakers.ts';
import { rounded } from './statistics.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const BGPD = join(HERE, '../../bgpd/main.js');
const LISTINGS = 20;
const SWARM_MS = 300_000;
const HEAD = 'name           routes  loc_rib_s     feed_s     rss_mb';
const FROM_ANYWHERE = 'dynamic: [{range: 192.0.2.0/24, client: true, limit: 10000}]\n';

export interface RibRow {
  readonly name: 'gingham' | 'bird' | 'gobgpd';
  readonly routes: number;
  readonly loc_rib_s: number | null;
  /** Only gingham has a route feed. */
  readonly feed_s: number | null;
  readonly peak_rss_mb: number | null;
}

const PARTS = ['exchange', 'reflector', 'peers'] as const;

export const RIB: Bench = {
  name: 'rib',
  summary:
    'route exchange against BIRD and gobgpd, reflector with many clients (--routes, --peers, --only exchange|reflector|peers)',
  run: runRib,
};

/** What the parts of one run have in common. */
interface Run {
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Runs everything; needs root. A part that fails is told in words and is null in the result. */
export async function runRib(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const options = readOptions(args, ['routes', 'peers', 'only']);
  const routes = countOption('routes', options.routes, 100_000);
  const peers = countOption('peers', options.peers, 2_500);
  const only = partOption(options.only);
  const run: Run = { say, signal };
  const wants = (part: (typeof PARTS)[number]): boolean => only === undefined || only === part;
  const { rows, flaps } = wants('exchange') ? await exchange(routes, run) : { rows: [], flaps: null };
  const reflector = wants('reflector')
    ? await part('reflector: 500 clients, 200 routes each', run, (pair, folder) =>
        swarm(pair, folder, { peers: 500, routesEach: 200, awaited: 500 * 200 - 200, done: 'complete' }, run),
      )
    : undefined;
  const many = wants('peers')
    ? await part(`reflector: ${peers} clients, one route each`, run, (pair, folder) =>
        swarm(pair, folder, { peers, routesEach: 1, awaited: 0, done: `established ${peers}` }, run),
      )
    : undefined;
  const json = {
    rows,
    reflector_500x200_s: reflector === undefined ? null : rounded(reflector, 2),
    peers_2500_s: many === undefined ? null : rounded(many, 2),
    list_flaps: flaps,
  };
  return { json, text: textOf(json) };
}

function partOption(text: string | undefined): (typeof PARTS)[number] | undefined {
  const found = PARTS.find((each) => each === text);
  if (text === undefined || found !== undefined) return found;
  throw new ExitError(EXIT.usage, `--only "${text}" is not accepted; accepted: ${PARTS.join(', ')}`);
}

/** 100,000 routes through each of the three. */
async function exchange(routes: number, run: Run): Promise<{ rows: readonly RibRow[]; flaps: number | null }> {
  const rows: RibRow[] = [];
  run.say(HEAD);
  const took = (row: RibRow): void => {
    rows.push(row);
    run.say(lineOf(row));
  };
  const own = await part(`gingham: ${routes} routes`, run, (pair, folder) => ginghamRow(pair, folder, routes, run));
  if (own !== undefined) took(own.row);
  for (const name of ['bird', 'gobgpd'] as const) {
    if ((await whereIs(name)) === undefined) {
      run.say(`${name} is not installed: left out`);
      continue;
    }
    const rival = await part(`${name}: ${routes} routes`, run, (pair, folder) =>
      rivalRow(name, pair, folder, routes, run.signal),
    );
    if (rival !== undefined) took(rival);
  }
  return { rows, flaps: own?.flaps ?? null };
}

/** One part in a pair of namespaces and a folder of its own, both gone afterwards; `undefined` where it failed. */
async function part<T>(
  what: string,
  { say, signal }: Run,
  work: (pair: NodePair, folder: string) => Promise<T>,
): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  say(what);
  const folder = await mkdtemp(join(tmpdir(), 'gh-rib-'));
  let pair: NodePair | undefined;
  try {
    pair = await NodePair.make(1_500);
    return await work(pair, folder);
  } catch (error) {
    say(`${what}: ${signal.aborted ? 'stopped' : String(error)}`);
    return undefined;
  } finally {
    await pair?.remove();
    await rm(folder, { recursive: true, force: true });
  }
}

async function ginghamRow(
  { nodes: [receiver, sender] }: NodePair,
  folder: string,
  routes: number,
  { signal }: Run,
): Promise<{ row: RibRow; flaps: number }> {
  const [receiving, sending] = [await play(folder, receiver, sender, 0), await play(folder, sender, receiver, routes)];
  const speakers: Speaker[] = [];
  try {
    await writeFile(join(folder, 'sender.yaml'), peerFile(receiver));
    await writeFile(join(folder, 'receiver.yaml'), peerFile(sender));
    speakers.push(bgpd(sender, sending, join(folder, 'sender.yaml')));
    await until(async () => (await gauge(sending, 'originated_prefixes')) >= routes, signal);
    const started = bgpd(receiver, receiving, join(folder, 'receiver.yaml'));
    speakers.push(started);
    receiving.watch();
    const [establishedMs, locRibMs, feedMs] = await Promise.all([
      started.says('session established', signal),
      until(async () => (await gauge(receiving, 'loc_rib_prefixes')) >= routes, signal),
      receiving.has(routes, signal),
    ]);
    const peak = await started.peakRssMb();
    for (let i = 0; i < LISTINGS && !signal.aborted; i++) await receiving.ask('POST', '/routes');
    const sessions = await Promise.all([receiving, sending].map(sessionsOf));
    const row: RibRow = {
      name: 'gingham',
      routes,
      loc_rib_s: rounded((Math.min(locRibMs, feedMs) - establishedMs) / 1000, 3),
      feed_s: rounded((feedMs - establishedMs) / 1000, 3),
      peak_rss_mb: rounded(peak, 1),
    };
    return { row, flaps: sessions.reduce((sum, count) => sum + count - 1, 0) };
  } finally {
    await Promise.all(speakers.map((speaker) => speaker.stop()));
    await Promise.all([receiving.close(), sending.close()]);
  }
}

/** Seconds from the first dial of the light peers until they print `done` and the reflector has them all, at once. */
async function swarm(
  { nodes: [reflector, clients] }: NodePair,
  folder: string,
  { peers, routesEach, awaited, done }: { peers: number; routesEach: number; awaited: number; done: string },
  { signal }: Run,
): Promise<number> {
  const played = await play(folder, reflector, clients, 0);
  const config = join(folder, 'reflector.yaml');
  await writeFile(config, FROM_ANYWHERE);
  const speaker = bgpd(reflector, played, config, ['--reflector', '--hold-time-seconds=90', '--sync-wait-seconds=0']);
  let light: Speaker | undefined;
  try {
    await speaker.says('listening for peers', signal);
    const startedMs = performance.now();
    const where = `${reflector.underlay}:1790`;
    const words = [process.execPath, join(HERE, 'rib-swarm.js'), where, ...[peers, routesEach, awaited].map(String)];
    light = new Speaker(clients, words);
    await light.says(done, signal, SWARM_MS);
    const endedMs = await until(async () => (await gauge(played, 'peers_established')) === peers, signal);
    return (endedMs - startedMs) / 1000;
  } finally {
    await Promise.all([speaker.stop(), light?.stop()]);
    await played.close();
  }
}

async function play(folder: string, node: BenchNode, other: BenchNode, routes: number): Promise<PlayedNode> {
  const runFolder = join(folder, String(node.number));
  await mkdir(runFolder);
  const played = new PlayedNode(runFolder);
  await played.serve(node, other, manyPrefixes(routes));
  return played;
}

function bgpd(node: BenchNode, { folder }: PlayedNode, config: string, flags: readonly string[] = []): Speaker {
  const fixed = [`--node-name=node${node.number}`, `--run-dir=${folder}`, '--mesh=false', `--config=${config}`];
  const own = ['--status-port=0', '--hold-time-seconds=3', ...flags];
  return new Speaker(node, [process.execPath, BGPD, ...fixed, ...own]);
}

function peerFile({ number, underlay }: BenchNode): string {
  return `peers: [{name: node${number}, address: ${underlay}}]\n`;
}

async function gauge(node: PlayedNode, name: string): Promise<number> {
  const text = await node.ask('GET', '/metrics');
  return Number(new RegExp(`^gingham_bgpd_${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

async function sessionsOf(node: PlayedNode): Promise<number> {
  const status = JSON.parse(await node.ask('GET', '/status')) as { peers: readonly { sessions: number }[] };
  return status.peers[0]?.sessions ?? 0;
}

function lineOf(row: RibRow): string {
  const cells = [row.routes, row.loc_rib_s ?? '-', row.feed_s ?? '-', row.peak_rss_mb ?? '-'];
  return [row.name.padEnd(10), ...cells.map((cell) => String(cell).padStart(11))].join('');
}

interface Figures {
  readonly rows: readonly RibRow[];
  readonly reflector_500x200_s: number | null;
  readonly peers_2500_s: number | null;
  readonly list_flaps: number | null;
}

function textOf({ rows, ...rest }: Figures): string {
  const figures = Object.entries(rest).map(([name, value]) => `${name.padEnd(22)}${value ?? '-'}`);
  return [HEAD, ...rows.map(lineOf), ...figures].join('\n');
}
