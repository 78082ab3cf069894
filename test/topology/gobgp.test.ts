// The stock `gobgp` command (package gobgpd) against bgpds in namespaces, each at the default address of its own loopback:
// what it prints, and what it does to routes and sessions at the other end. Whether a real gobgpd prints the same:
// gobgp-shape.test.ts.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { fails, gobgp, json } from './gobgp-command.ts';
import { LivenessRig, type RigNode } from './liveness-rig.ts';

const WAIT = { timeoutMs: 30_000, intervalMs: 20 };
const FULL = 'local-pref 200 med 5 community 64512:9,no-export large-community 1:2:3 origin egp aspath 10,20';
const FULL_TEXT =
  '[{Origin: e} {Med: 5} {LocalPref: 200} {Communities: 64512:9, no-export} {LargeCommunity: [ 1:2:3]}]';
const POLICIES = `
groups: {mesh: {import: careful}}
sets: {prefixes: {bad: ["10.66.0.0/16 16-24"]}, communities: {backup: ["64512:10"]}}
policies:
  careful:
    statements:
      - {name: no-bad, if: {prefixes: bad}, action: reject}
      - {name: last-choice, if: {communities: backup}, set: {localPref: 50}}
    otherwise: accept
`;

let rig: LivenessRig;
let a: RigNode;
let b: RigNode;

beforeAll(async () => {
  rig = await LivenessRig.make(3);
  const [first, second, third] = [rig.node(1), rig.node(2), rig.node(3)];
  [a, b] = [first, second];
  await a.makeRunFolder();
  const file = join(a.runFolder, 'bgpd.yaml');
  await writeFile(file, POLICIES);
  const begin = (node: RigNode, others: readonly RigNode[], flags: readonly string[]) =>
    node.begin(others, ['--bfd=false', ...flags], [prefix(`10.5.${node.number}.0/24`)]);
  await Promise.all([begin(a, [second, third], [`--config=${file}`]), begin(second, [a], []), begin(third, [a], [])]);
  await a.isUp(second, false);
  await a.isUp(third, false);
  await eventually('all routes are at the first node', () => a.view.routeCount === 3, WAIT);
});

afterAll(() => rig.remove());

test('global', async () => {
  expect(await gobgp(a, 'global')).toMatch(
    /AS: +64512\nRouter-ID: 192\.0\.2\.1\nListening Port: 1790, Addresses: 192\.0\.2\.1/,
  );
  expect(await json(a, 'global')).toMatchObject({ asn: 64_512, router_id: '192.0.2.1', listen_port: 1_790 });
});

test('global rib: every route with its best path, by prefix', async () => {
  const lines = (await gobgp(a, 'global rib'))
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/\d\d:\d\d:\d\d/, 'AGE'));
  expect(lines.map((line) => line.trim().split(/\s{2,}| (?=10\.|\d+\.\d)/))).toEqual([
    ['Network', 'Next Hop', 'AS_PATH', 'Age', 'Attrs'],
    ['*>', '10.5.1.0/24', '192.0.2.1', 'AGE', '[{Origin: i}]'],
    ['*>', '10.5.2.0/24', '192.0.2.2', 'AGE', '[{Origin: i} {LocalPref: 100}]'],
    ['*>', '10.5.3.0/24', '192.0.2.3', 'AGE', '[{Origin: i} {LocalPref: 100}]'],
  ]);
  expect(await gobgp(a, 'global rib summary')).toBe('Table afi:AFI_IP safi:SAFI_UNICAST\nDestination: 3, Path: 3\n');
  expect(await json(a, 'global rib summary')).toEqual({ num_destination: 3, num_path: 3 });
});

test('global rib add and del: the route is at the other node, in its feed and with its attributes, and gone again', async () => {
  await gobgp(b, `global rib add 10.9.0.0/16 ${FULL}`);
  await eventually('it is in the feed of the first node', () => hops('10.9.0.0/16').join() === '192.0.2.2', WAIT);
  expect(await gobgp(a, 'global rib 10.9.3.4')).toContain(FULL_TEXT);
  expect(await json(a, 'global rib 10.9.0.0/16')).toMatchObject({
    '10.9.0.0/16': [{ best: true, stale: false, 'source-id': '192.0.2.2', 'neighbor-ip': '192.0.2.2' }],
  });
  expect(await gobgp(a, 'global rib 10.8.0.0/15 longer-prefixes')).toContain('10.9.0.0/16');
  expect(await gobgp(a, 'global rib 10.9.3.0/24 shorter-prefixes')).toContain('10.9.0.0/16');
  expect(await gobgp(a, 'global rib 10.9.0.0/17')).toBe('Network not in table\n');
  await gobgp(b, 'global rib add 10.9.0.0/16 nexthop 192.0.2.1');
  await eventually(
    'it is another route',
    async () => /192\.0\.2\.1 .*Origin: \?/.test(await gobgp(a, 'global rib 10.9.0.0/16')),
    WAIT,
  );
  await gobgp(b, 'global rib del 10.9.0.0/16');
  await eventually('it is gone', async () => /not in table/.test(await gobgp(a, 'global rib 10.9.0.0/16')), WAIT);
  expect(a.view.groupOf(prefix('10.9.0.0/16'))).toBeUndefined();
});

test('IPv6, and del all: only what was added goes', async () => {
  await gobgp(b, 'global rib add -a ipv6 2001:db8::/32');
  await gobgp(b, 'global rib add 10.9.0.0/16');
  await eventually('it is there', async () => /2001:db8::\/32/.test(await gobgp(a, 'global rib -a ipv6')), WAIT);
  await gobgp(b, 'global rib del all -a ipv6');
  await eventually('it is gone', async () => /not in table/.test(await gobgp(a, 'global rib -a ipv6')), WAIT);
  expect(Object.keys(await json(b, 'global rib'))).toEqual(['10.5.1.0/24', '10.5.2.0/24', '10.9.0.0/16']);
  await gobgp(b, 'global rib del all');
  expect(Object.keys(await json(b, 'global rib'))).toEqual(['10.5.1.0/24', '10.5.2.0/24']);
  await gobgp(b, 'global rib del 10.77.0.0/16');
});

test.each([
  ['global rib add 10.5.2.0/24', /10\.5\.2\.0\/24 is a subnet of this node/],
  ['global rib del 10.5.2.0/24', /10\.5\.2\.0\/24 starts here, but it was not added here/],
  ['global rib add 10.6.0.0/16 aspath {2,3}', /aspath: .* it takes AS numbers in sequence/],
  ['global rib add 10.6.0.0/16 aigp metric 3', /attribute Aigp: bgpd carries Origin, AsPath, NextHop/],
  ['global rib -a evpn', /bgpd has ipv4 and ipv6 \(unicast\) only/],
  ['neighbor add 10.3.3.3 as 3', /AddPeer is not served: neighbors come from the registry/],
  ['policy prefix add x 10.0.0.0/8', /policies come from the file of --config/],
  ['global del all', /StopBgp is not served/],
  ['vrf', /bgpd has no VRFs/],
  ['monitor adj-in', /only best paths are watched/],
  ['neighbor 192.0.2.1 local', /there is one table for all neighbors/],
])('refused in words: %s', async (command, words) => {
  expect(await fails(b, command)).toMatch(words);
});

test('neighbor: all, one, and its tables', async () => {
  const list = (await gobgp(a, 'neighbor')).trimEnd().split('\n');
  expect(list[0]).toMatch(/^Peer +AS +Up\/Down State +\|#Received +Accepted$/);
  expect(list[1]).toMatch(/^192\.0\.2\.2 64512 \d\d:\d\d:\d\d Establ +\| +1 +1$/);
  expect(await json(a, 'neighbor')).toMatchObject([
    {
      conf: { neighbor_address: '192.0.2.2', description: 'node2' },
      state: { session_state: 6, router_id: '192.0.2.2' },
    },
    { conf: { neighbor_address: '192.0.2.3', description: 'node3' }, state: { session_state: 6 } },
  ]);
  const one = await gobgp(a, 'neighbor 192.0.2.2');
  expect(one).toMatch(/BGP state = ESTABLISHED, up for/);
  expect(one).toMatch(/ipv4-unicast:\tadvertised and received[\s\S]*graceful-restart:\tadvertised and received/);
  expect(one).toMatch(/Advertised: +1\n +Received: +1\n +Accepted: +1\n/);
  expect(await gobgp(a, 'neighbor node2')).toContain('BGP neighbor is 192.0.2.2, remote AS 64512');
  expect(await fails(a, 'neighbor 192.0.2.99')).toContain('not found neighbor 192.0.2.99');
  expect(Object.keys(await json(a, 'neighbor 192.0.2.2 adj-in'))).toEqual(['10.5.2.0/24']);
  expect(Object.keys(await json(a, 'neighbor 192.0.2.2 adj-out'))).toEqual(['10.5.1.0/24']);
  expect(await gobgp(a, 'neighbor 192.0.2.2 adj-out')).toMatch(
    /ID +Network +Next Hop +AS_PATH +Attrs\n +1 +10\.5\.1\.0\/24 +192\.0\.2\.1/,
  );
  expect(await gobgp(a, 'neighbor 192.0.2.2 adj-in summary')).toContain('Destination: 1, Path: 1');
});

test('monitor: what is there, then each change; a refresh is none', async () => {
  const watcher = a.spawn(['gobgp', 'monitor', 'global', 'rib', '--current']);
  let seen = '';
  watcher.stdout?.on('data', (bytes) => {
    seen += String(bytes);
  });
  await eventually('it shows what is there', () => seen.split('\n').length === 4, WAIT);
  await gobgp(a, 'neighbor 192.0.2.2 softreset');
  await gobgp(b, `global rib add 10.9.0.0/16 ${FULL}`);
  await eventually(
    'it shows the new route',
    () => seen.includes('[ROUTE] 10.9.0.0/16 via 192.0.2.2 aspath [10 20]'),
    WAIT,
  );
  await gobgp(b, 'global rib del 10.9.0.0/16');
  await eventually('it shows its end', () => seen.includes('[DELROUTE] 10.9.0.0/16 via 192.0.2.2'), WAIT);
  expect(seen.trimEnd().split('\n')).toHaveLength(5);
  watcher.kill();
});

test('softreset: routes are asked for and sent again, the session stays', async () => {
  const before = await session();
  await gobgp(a, 'neighbor 192.0.2.2 softreset');
  await gobgp(a, 'neighbor 192.0.2.2 softresetin');
  await gobgp(a, 'neighbor 192.0.2.2 softresetout');
  // A request is one message per family; what answers one is marked by its begin and its end (RFC 7313).
  const refreshes = (of: Session) => [
    of.messages.sent['route-refresh'] ?? 0,
    of.messages.received['route-refresh'] ?? 0,
  ];
  await eventually(
    'it is done',
    async () => {
      const [sent = 0, received = 0] = refreshes(await session());
      const [sentBefore = 0, receivedBefore = 0] = refreshes(before);
      return sent - sentBefore === 12 && received - receivedBefore === 8;
    },
    WAIT,
  );
  expect((await session()).sessions).toBe(before.sessions);
});

test('reset: another session, the peer is told why, no route is lost on the way', async () => {
  const { sessions } = await session();
  let least = a.view.routeCount;
  a.onChange = () => {
    least = Math.min(least, a.view.routeCount);
  };
  await gobgp(a, 'neighbor 192.0.2.2 reset --reason again-please');
  await eventually(
    'a new session',
    async () => {
      const now = await session();
      return now.state === 'Established' && now.sessions === sessions + 1;
    },
    WAIT,
  );
  await eventually('the peer was told', () => b.output.includes('administrative reset: again-please'), WAIT);
  expect(least).toBe(3);
  a.onChange = () => undefined;
});

// The command of 3.10 takes --reason for all of them and sends it along with shutdown and reset only.
test.each([
  ['disable', ''],
  ['shutdown', ': new-disks'],
])('%s: down for good and the peer is told why%s, until enable', async (command, reason) => {
  await gobgp(a, `neighbor 192.0.2.2 ${command} --reason new-disks`);
  expect(await gobgp(a, 'neighbor')).toMatch(/192\.0\.2\.2 64512 \d\d:\d\d:\d\d Idle\(Admin\)/);
  expect(await json(a, 'neighbor 192.0.2.2')).toMatchObject({ conf: { admin_down: true }, state: { admin_state: 1 } });
  await eventually('its routes are gone', () => hops('10.5.2.0/24').length === 0, WAIT);
  const told = `the peer sent Cease, administrative shutdown${reason}`;
  await eventually(
    'the peer tries again, and is told again',
    async () => {
      const peer = (await b.peers()).find(({ node }) => node === 'node1') as Session | undefined;
      return peer?.whyDown === told && peer.lastFailure === told;
    },
    WAIT,
  );
  const down = { kind: 'admin-down', by: 'peer', code: 6, subcode: 2, text: reason.slice(2) };
  expect((await b.peers()).find(({ node }) => node === 'node1')).toMatchObject({
    adminDown: false,
    down,
    lastAttempt: down,
  });
  expect((await a.peers()).find(({ node }) => node === 'node2')).toMatchObject({ adminDown: true, down: { by: 'us' } });
  await gobgp(a, 'neighbor 192.0.2.2 enable');
  await a.isUp(b, false);
  await eventually('its routes are back', () => hops('10.5.2.0/24').join() === '192.0.2.2', WAIT);
});

test('policy: what the file says', async () => {
  expect(await gobgp(a, 'policy')).toMatch(
    /Name careful:\n +StatementName no-bad:\n +Conditions:\n +PrefixSet: any bad[\s\S]*reject[\s\S]*CommunitySet: any backup\n +Actions:\n +LocalPref: +50/,
  );
  expect(await gobgp(a, 'policy prefix')).toBe('NAME  PREFIX\nbad   10.66.0.0/16 16..24\n');
  expect(await gobgp(a, 'policy community')).toContain('backup  ^64512:10$');
  expect(await gobgp(a, 'policy statement last-choice')).toContain('StatementName last-choice');
  expect(await gobgp(a, 'global policy')).toMatch(
    /Import policy:\n +Default: ACCEPT\n +Name careful:[\s\S]*Export policy:\n +Default: ACCEPT/,
  );
  expect(await gobgp(a, 'neighbor 192.0.2.2 policy import')).toContain('Name careful');
});

interface Session {
  readonly state: string;
  readonly sessions: number;
  readonly whyDown?: string;
  readonly lastFailure?: string;
  readonly messages: {
    readonly sent: Readonly<Record<string, number>>;
    readonly received: Readonly<Record<string, number>>;
  };
}

/** The first node's session with the second. */
async function session(): Promise<Session> {
  const found: unknown = (await a.peers()).find(({ node }) => node === 'node2');
  return found as Session;
}

/** Where the first node's feed sends a prefix. */
function hops(of: string): readonly string[] {
  const group = a.view.groups.get(a.view.groupOf(prefix(of)) ?? -1);
  return group?.nextHops.map(({ gateway }) => String(gateway)) ?? [];
}
