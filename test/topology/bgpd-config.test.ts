// The configuration file with real bgpd processes and no registry: static peers, neighbours by range, policies that change
// under a session that stays, prefix limits, static routes and aggregates. What the cluster is made of: bgpd-cluster.ts.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EXIT } from '../../lib/run/exit.ts';
import { eventually } from '../eventually.ts';
import { BgpdCluster, type BgpdNode, manyPrefixes } from './bgpd-cluster.ts';

const PATIENCE = { timeoutMs: 30_000, intervalMs: 20 };
const PREFIXES = manyPrefixes(20);
const TWENTIES = 'sets: {prefixes: {low: ["20.0.0.0/20 24-24"]}}';

let cluster: BgpdCluster;
let folder: string;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
  folder = await mkdtemp(join(tmpdir(), 'gh-conf-'));
});

afterEach(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

test('neighbours by range, a static peer; import and export policies change and the session stays', async () => {
  const [a, b, setA, setB] = await pair('dynamic: [{range: 127.0.0.0/8}]', '');
  await eventually('a has all routes', () => a.view.routeCount === 20, PATIENCE);
  await setA(`dynamic: [{range: 127.0.0.0/8}]
${TWENTIES}
groups: {mesh: {import: half}}
policies: {half: {statements: [{if: {prefixes: low}, action: accept}], otherwise: reject}}`);
  await eventually('a has those that it accepts', () => a.view.routeCount === 16, PATIENCE);
  await setA('dynamic: [{range: 127.0.0.0/8}]');
  await eventually('a has all again', () => a.view.routeCount === 20, PATIENCE);
  await setB(`${TWENTIES}
groups: {mesh: {export: rest}}
policies: {rest: {statements: [{if: {prefixes: low}, action: reject}], otherwise: accept}}`);
  await eventually('a has what b tells', () => a.view.routeCount === 4, PATIENCE);
  expect((await a.status()).peers).toMatchObject([{ state: 'Established', sessions: 1 }]);
  await setB('groups: {mesh: {export: nowhere}}');
  await eventually('b says what is wrong', () => b.output.includes('there is no policy nowhere'), PATIENCE);
  expect(a.view.routeCount).toBe(4);
});

test.each([
  ['block', 5, 5],
  ['restart', 5, 0],
  ['warn', 5, 20],
] as const)('prefix limit: %s', async (action, max, kept) => {
  const limit = `groups: {mesh: {prefixLimit: {max: ${max}, action: ${action}}}}`;
  const [a] = await pair(`dynamic: [{range: 127.0.0.0/8}]\n${limit}`, '');
  await eventually('it is said', () => a.output.includes('the prefix limit of a peer is near or reached'), PATIENCE);
  await eventually(`a has ${kept}`, () => a.view.routeCount === kept, PATIENCE);
  const peers = (await a.status()).peers;
  if (action === 'restart') expect(peers.every(({ state }) => state !== 'Established')).toBe(true);
  else expect(peers).toMatchObject([{ state: 'Established' }]);
});

test('static routes and an aggregate: there while something is within it, discarded here', async () => {
  const routes = 'routes: [{prefix: 10.7.0.0/16, communities: ["64512:7"]}]\naggregates: [{prefix: 20.0.0.0/8}]';
  const [a, b] = await pair('dynamic: [{range: 127.0.0.0/8}]', routes);
  await eventually('a has them', () => a.view.routeCount === 22, PATIENCE);
  // Empty, not absent: the routes are there and discard.
  const discards = (prefix: string): boolean => b.gateways(prefix)?.length === 0;
  await eventually('b discards both itself', () => discards('20.0.0.0/8') && discards('10.7.0.0/16'), PATIENCE);
  b.withdraw(PREFIXES);
  await eventually('the aggregate is gone', () => a.view.routeCount === 1, PATIENCE);
});

test('a file that is wrong: every error, exit code 3', async () => {
  const path = join(folder, 'wrong.yaml');
  await writeFile(path, 'peers: [{name: x, address: nowhere}]\nroutes: [{prefix: 10.0.0.1/8}]\nsurprise: 1\n');
  const node = await cluster.node(2, [], [`--config=${path}`]);
  expect(await node.exit()).toBe(EXIT.config);
  expect(node.output).toMatch(/peers\.0\.address: .*routes\.0\.prefix: .*surprise/s);
});

type SetFile = (text: string) => Promise<void>;

/** Two nodes without a registry: b dials a, which a's file has to allow. */
async function pair(aFile: string, bFile: string): Promise<readonly [BgpdNode, BgpdNode, SetFile, SetFile]> {
  const path = (name: string): string => join(folder, `${name}.yaml`);
  const flags = (name: string) => ['--mesh=false', `--config=${path(name)}`, '--graceful-restart-seconds=0'];
  await writeFile(path('a'), aFile);
  const a = await cluster.node(2, [3], flags('a'));
  const port = await eventually(
    'a listens',
    async () => (JSON.parse(await a.http('/status')) as { port?: number }).port || undefined,
    PATIENCE,
  );
  const peer = `peers: [{name: node2, address: 127.0.0.2, port: ${port}}]\n`;
  await writeFile(path('b'), peer + bFile);
  const b = await cluster.node(3, [2], flags('b'));
  b.originate(PREFIXES);
  const set = (node: BgpdNode, name: string, head: string): SetFile => {
    return async (text) => {
      await writeFile(path(name), head + text);
      if (node.pid !== undefined) process.kill(node.pid, 'SIGHUP');
    };
  };
  return [a, b, set(a, 'a', ''), set(b, 'b', peer)];
}
