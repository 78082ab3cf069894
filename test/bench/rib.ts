// The route exchange: 100,000 routes from one bgpd to another, BIRD and gobgpd at the same where they are installed, a
// reflector with many clients, and a session with a hold time of 3 s while all routes are listed again and again.
//
// Two processes, two namespaces, one cable. What is measured and from when: rib-speakers.ts.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import { type BenchNode, NodePair } from './node-pair.ts';
import { rivalRow } from './rib-rivals.ts';
import { manyPrefixes, PlayedNode, Speaker, until, whereIs } from './rib-speakers.ts';
import { rounded } from './statistics.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const BGPD = join(HERE, '../../bgpd/main.js');
const LISTINGS = 20;
const FROM_ANYWHERE = 'dynamic: [{range: 192.0.2.0/24, client: true, limit: 10000}]\n';

export interface RibRow {
  readonly name: 'gingham' | 'bird' | 'gobgpd';
  readonly routes: number;
  readonly loc_rib_s: number | null;
  /** Only gingham has a route feed. */
  readonly feed_s: number | null;
  readonly peak_rss_mb: number | null;
}

export const RIB: Bench = {
  name: 'rib',
  summary: 'route exchange: 100,000 routes, against BIRD and gobgpd; reflector with many clients (--routes, --peers)',
  run: runRib,
};

/** Runs everything; needs root. */
export async function runRib(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const options = readOptions(args, ['routes', 'peers']);
  const routes = countOption('routes', options.routes, 100_000);
  const peers = countOption('peers', options.peers, 2_500);
  const rows: RibRow[] = [];
  say(`gingham: ${routes} routes`);
  const { row, flaps } = await inPair((pair, folder) => ginghamRow(pair, folder, routes));
  rows.push(row);
  for (const name of ['bird', 'gobgpd'] as const) {
    if (signal.aborted || (await whereIs(name)) === undefined) continue;
    say(`${name}: ${routes} routes`);
    const rival = await inPair((pair, folder) => rivalRow(name, pair, folder, routes)).catch((error: unknown) => {
      say(`${name}: ${String(error)}`);
      return undefined;
    });
    if (rival !== undefined) rows.push(rival);
  }
  say('reflector: 500 clients, 200 routes each');
  const reflector = await inPair((pair, folder) => swarm(pair, folder, 500, 200, 500 * 200 - 200, 'complete', say));
  say(`reflector: ${peers} clients, one route each`);
  const many = await inPair((pair, folder) => swarm(pair, folder, peers, 1, 0, `established ${peers}`, say));
  const json = {
    rows,
    reflector_500x200_s: rounded(reflector, 2),
    peers_2500_s: rounded(many, 2),
    list_flaps: flaps,
  };
  return { json, text: textOf(json) };
}

async function inPair<T>(work: (pair: NodePair, folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'gh-rib-'));
  const pair = await NodePair.make(1_500);
  try {
    return await work(pair, folder);
  } finally {
    await pair.remove();
    await rm(folder, { recursive: true, force: true });
  }
}

async function ginghamRow(
  { nodes: [receiver, sender] }: NodePair,
  folder: string,
  routes: number,
): Promise<{ row: RibRow; flaps: number }> {
  const [receiving, sending] = [await play(folder, receiver, sender, 0), await play(folder, sender, receiver, routes)];
  const speakers: Speaker[] = [];
  try {
    await writeFile(join(folder, 'sender.yaml'), peerFile(receiver));
    await writeFile(join(folder, 'receiver.yaml'), peerFile(sender));
    speakers.push(bgpd(sender, sending, join(folder, 'sender.yaml')));
    await until(async () => (await gauge(sending, 'originated_prefixes')) >= routes);
    const started = bgpd(receiver, receiving, join(folder, 'receiver.yaml'));
    speakers.push(started);
    receiving.watch();
    const [establishedMs, locRibMs, feedMs] = await Promise.all([
      started.says('session established'),
      until(async () => (await gauge(receiving, 'loc_rib_prefixes')) >= routes),
      receiving.has(routes),
    ]);
    const peak = await started.peakRssMb();
    for (let i = 0; i < LISTINGS; i++) await receiving.ask('POST', '/routes');
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

/** Seconds from the first dial of the light peers until they print `done`. */
async function swarm(
  { nodes: [reflector, clients] }: NodePair,
  folder: string,
  peers: number,
  routesEach: number,
  awaited: number,
  done: string,
  say: (line: string) => void,
): Promise<number> {
  const played = await play(folder, reflector, clients, 0);
  const config = join(folder, 'reflector.yaml');
  await writeFile(config, FROM_ANYWHERE);
  const speaker = bgpd(reflector, played, config, ['--reflector', '--hold-time-seconds=90', '--sync-wait-seconds=0']);
  let light: Speaker | undefined;
  try {
    await speaker.says('listening for peers');
    const startedMs = performance.now();
    const where = `${reflector.underlay}:1790`;
    const words = [process.execPath, join(HERE, 'rib-swarm.js'), where, ...[peers, routesEach, awaited].map(String)];
    light = new Speaker(clients, words);
    const doneMs = await light.says(done, 300_000);
    return (doneMs - startedMs) / 1000;
  } catch (error) {
    say(`reflector with ${peers} clients: ${String(error)}`);
    return Number.NaN;
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

function textOf({ rows, ...rest }: { readonly rows: readonly RibRow[] }): string {
  const lines = rows.map((row) =>
    [row.name.padEnd(10), row.loc_rib_s, row.feed_s ?? '-', row.peak_rss_mb]
      .map((cell) => String(cell).padStart(10))
      .join(''),
  );
  const head = ['name', 'loc_rib_s', 'feed_s', 'rss_mb'].map((cell) => cell.padStart(10)).join('');
  return [head, ...lines, ...Object.entries(rest).map(([name, value]) => `${name.padEnd(22)}${String(value)}`)].join(
    '\n',
  );
}
