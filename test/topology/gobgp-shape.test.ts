// What the `gobgp` command prints of a bgpd beside what it prints of a real gobgpd, for the same routes between the same two
// nodes: the same columns, labels, attribute texts and JSON keys. Two gobgpds run beside the two bgpds, on other ports.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { gobgp, json } from './gobgp-command.ts';
import { LivenessRig, type RigNode } from './liveness-rig.ts';

/** A gobgpd dials by and by: its timers are what they are. */
const WAIT = { timeoutMs: 60_000, intervalMs: 50 };
const THEIRS = '-p 50052';
const ROUTES = [
  'add 10.9.0.0/16 local-pref 200 med 5 community 64512:9,no-export large-community 1:2:3 origin egp aspath 10,20',
  'add 10.8.0.0/16 origin igp nexthop 192.0.2.2',
  'add -a ipv6 2001:db8::/32 nexthop 2001:db8::1',
];

let rig: LivenessRig;
let a: RigNode;
let b: RigNode;

beforeAll(async () => {
  rig = await LivenessRig.make(2);
  [a, b] = [rig.node(1), rig.node(2)];
  await Promise.all([
    startGobgpd(a, b),
    startGobgpd(b, a),
    a.begin([b], ['--bfd=false']),
    b.begin([a], ['--bfd=false']),
  ]);
  await a.isUp(b, false);
  await eventually('the gobgpds have a session', async () => /Establ/.test(await gobgp(a, `${THEIRS} neighbor`)), WAIT);
  for (const route of ROUTES) {
    await gobgp(b, `global rib ${route}`);
    await gobgp(b, `${THEIRS} global rib ${route}`);
  }
  for (const port of ['', `${THEIRS} `]) {
    await eventually(
      'the first node has both',
      async () => /Destination: 2/.test(await gobgp(a, `${port}global rib summary`)),
      WAIT,
    );
    await eventually('and the third', async () => /2001:db8/.test(await gobgp(a, `${port}global rib -a ipv6`)), WAIT);
  }
});

afterAll(() => rig.remove());

test.each([
  'global rib',
  'global rib 10.9.0.0/16',
  'global rib 10.9.1.1',
  'global rib 10.8.0.0/15 longer-prefixes',
  'global rib 10.8.1.0/24 shorter-prefixes',
  'global rib 10.7.0.0/16',
  'global rib summary',
  'global rib -a ipv6 summary',
  'neighbor',
  'neighbor 192.0.2.2 adj-in',
  'neighbor 192.0.2.2 adj-in summary',
  'neighbor 192.0.2.2 adj-out',
  'policy',
  'policy prefix',
  'policy neighbor',
  'policy statement',
])('text of %s', async (command) => {
  const [ours, theirs] = await both(command);
  expect(plain(ours)).toBe(plain(theirs));
});

test('text of one neighbor: the same labels in the same order', async () => {
  const [ours, theirs] = await both('neighbor 192.0.2.2');
  // bgpd offers graceful and enhanced refresh, gobgpd the extended next hop: capabilities differ.
  const labels = (text: string) =>
    plain(text)
      .replace(/ +Neighbor capabilities:[\s\S]*(?= +Message statistics)/, '')
      .replaceAll(/\d+/g, '0')
      .replaceAll(/ +/g, ' ');
  expect(labels(ours)).toBe(labels(theirs));
});

test.each(['global rib', 'global rib -a ipv6', 'neighbor 192.0.2.2 adj-in', 'neighbor 192.0.2.2 adj-out'])(
  'JSON of %s: the same keys, and the same attributes',
  async (command) => {
    const [ours, theirs] = [await json(a, command), await json(a, `${THEIRS} ${command}`)];
    expect(keys(ours)).toEqual(keys(theirs));
    expect(attributes(ours)).toEqual(attributes(theirs));
  },
);

test.each([
  ['global', ['.graceful_restart', '.use_multiple_paths'], []],
  ['global rib summary', [], []],
  ['neighbor', [], ['[].ttl_security']],
])('JSON of %s: the same keys at the top, but for what only one of them has', async (command, oursOnly, theirsOnly) => {
  const top = (value: unknown): string[] => keys(value).filter((key) => key.split('.').length === 2);
  const [ours, theirs] = [top(await json(a, command)), top(await json(a, `${THEIRS} ${command}`))];
  expect(ours.filter((key) => !theirs.includes(key))).toEqual(oursOnly);
  expect(theirs.filter((key) => !ours.includes(key))).toEqual(theirsOnly);
});

test('JSON and text of monitor global rib', async () => {
  const [text, theirText] = ['', `${THEIRS} `].map((port) => watch(`${port}monitor global rib --current`));
  const [events, theirEvents] = ['', `${THEIRS} `].map((port) => watch(`${port}monitor global rib -j --current`));
  const watchers = [text, theirText, events, theirEvents];
  const present = (each: (() => string) | undefined) =>
    ['10.8.0.0/16', '10.9.0.0/16'].every((of) => each?.().includes(of));
  await eventually('all four show what is there', () => watchers.every(present), WAIT);
  for (const port of ['', `${THEIRS} `]) await gobgp(b, `${port}global rib del 10.9.0.0/16`);
  const ended = (each: (() => string) | undefined) => /DELROUTE|withdrawal/.test(each?.() ?? '');
  await eventually('all four show the end of a route', () => watchers.every(ended), WAIT);
  // To bgpd the next hop of the IPv6 route leads nowhere: it is no best path.
  const lines = (of: (() => string) | undefined) =>
    [...new Set(plain(of?.() ?? '').split('\n'))].filter((line) => !line.includes('2001:db8')).toSorted();
  expect(lines(text)).toEqual(lines(theirText));
  const shapes = (of: (() => string) | undefined) => {
    const arrays = (of?.() ?? '')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { nlri: { prefix: string } }[]);
    const paths = arrays.flat().filter(({ nlri }) => !nlri.prefix.includes(':'));
    return [...new Set(paths.flatMap(keys))].toSorted();
  };
  expect(shapes(events)).toEqual(shapes(theirEvents));
});

async function startGobgpd(own: RigNode, other: RigNode): Promise<void> {
  await own.makeRunFolder();
  const file = join(own.runFolder, 'gobgpd.toml');
  const family = (name: string) => `[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "${name}"\n`;
  await writeFile(
    file,
    `[global.config]
as = 64512
router-id = "${own.address}"
port = 1791
local-address-list = ["${own.address}"]
[[neighbors]]
[neighbors.config]
neighbor-address = "${other.address}"
peer-as = 64512
[neighbors.transport.config]
local-address = "${own.address}"
remote-port = 1791
[neighbors.timers.config]
connect-retry = 1
${family('ipv4-unicast')}${family('ipv6-unicast')}`,
  );
  own.spawn(['gobgpd', '-f', file, '--api-hosts', '127.0.0.1:50052', '--pprof-disable']);
}

async function both(command: string): Promise<readonly [string, string]> {
  return [await gobgp(a, command), await gobgp(a, `${THEIRS} ${command}`)];
}

/** What a watcher on the first node has printed so far. */
function watch(command: string): () => string {
  let seen = '';
  a.spawn(['gobgp', ...command.split(' ')]).stdout?.on('data', (bytes) => {
    seen += String(bytes);
  });
  return () => seen;
}

/** Without times. */
function plain(text: string): string {
  return text.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'NOW').replaceAll(/\d\d:\d\d:\d\d/g, 'AGE');
}

/** Every path to a value: `.a[].b`. */
function keys(value: unknown): string[] {
  const walk = (each: unknown, path: string): string[] => {
    if (Array.isArray(each)) return each.flatMap((item) => walk(item, `${path}[]`));
    if (typeof each !== 'object' || each === null) return [path];
    return [path, ...Object.entries(each).flatMap(([key, item]) => walk(item, `${path}.${key}`))];
  };
  return [...new Set(walk(value, ''))].toSorted();
}

/** Attributes of each path, in the order of their codes. */
function attributes(destinations: Readonly<Record<string, unknown>>): unknown {
  const all = destinations as Record<string, { attrs: { type: number }[] }[]>;
  return Object.entries(all).map(([prefix, paths]) => [
    prefix,
    paths.map(({ attrs }) => attrs.toSorted((one, other) => one.type - other.type)),
  ]);
}
