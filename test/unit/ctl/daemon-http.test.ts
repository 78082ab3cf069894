// Asking a daemon over its socket: ready, not ready, talking nonsense, silent, dead, never started.
//
// The daemons here are stand-ins on real unix sockets.

import { mkdtemp, rename, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { runCommand } from '../../../ctl/commands.ts';
import { askDaemon, askReadiness } from '../../../ctl/daemon-http.ts';
import { readOverlayPeers, readSessions } from '../../../ctl/daemon-status.ts';
import { health } from '../../../ctl/health.ts';
import { bgpd, flanneld, peer } from './daemon-answers.ts';

const READY = { ready: true, checks: [{ name: 'feed', ok: true, detail: 'in sync' }] };
const UNREADY = {
  ready: false,
  checks: [
    { name: 'etcd', ok: true, detail: 'reachable' },
    { name: 'feed', ok: false, detail: 'not connected' },
  ],
};

let folder = '';
let servers: Server[] = [];
let said = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gh-ctl-'));
  said = '';
  const hear = (text: string | Uint8Array): boolean => {
    said += String(text);
    return true;
  };
  vi.spyOn(process.stderr, 'write').mockImplementation(hear);
  vi.spyOn(process.stdout, 'write').mockImplementation(hear);
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  servers = [];
  await rm(folder, { recursive: true, force: true });
});

it('passes on what the daemon says', async () => {
  await serve('felix', READY);
  expect(await askReadiness(folder, 'felix')).toEqual(READY);
  expect(await health('felix', folder)).toBe(0);
  expect(said).toBe('');
});

it('names the failing checks, and only those', async () => {
  await serve('felix', UNREADY, 503);
  expect(await health('felix', folder)).toBe(1);
  expect(said).toBe('felix is not ready: feed: not connected\n');
});

it('tells a daemon that never started from one that died', async () => {
  expect(await askReadiness(folder, 'bgpd')).toContain('bgpd has not started: there is no');
  await leaveDeadSocket(join(folder, 'felix.http'));
  expect(await askReadiness(folder, 'felix')).toContain('felix does not run: nobody listens on');
});

it('gives up on a daemon that does not answer', async () => {
  await listen('felix', () => undefined);
  expect(await askDaemon(folder, 'felix', '/readyz', 50)).toBe('felix did not answer within 50 ms');
});

it.each(['', '[]', '{"ready":1}', 'null', '"x"'])('does not take %j for readiness', async (body) => {
  await listen('felix', (_, response) => void response.end(body));
  expect(await askReadiness(folder, 'felix')).toContain('a body that is not the expected JSON');
});

it('counts sessions and peers as the daemons give them', async () => {
  await serve('bgpd', { ...bgpd, peers: [peer, { ...peer, node: 'node3', state: 'Idle' }] });
  const known = { node: 'node2', subnet: '10.5.2.0/24', publicIP: '192.0.2.2', programmed: true, via: [] };
  const pending = { ...known, node: 'node3', subnet: '10.5.3.0/24', programmed: false };
  await serve('flanneld', { ...flanneld, peers: [known, pending] });
  expect(await readSessions(folder)).toEqual({ up: 1, total: 2 });
  expect(await readOverlayPeers(folder)).toEqual([
    { node: 'node2', subnet: '10.5.2.0/24', programmed: true },
    { node: 'node3', subnet: '10.5.3.0/24', programmed: false },
  ]);
});

it('shows a question mark rather than nonsense where /status has another shape', async () => {
  await serve('bgpd', { ...bgpd, peers: 'many' });
  await serve('flanneld', { ...flanneld, peers: [{ name: 'node2' }] });
  expect(await readSessions(folder)).toBeUndefined();
  expect(await readOverlayPeers(folder)).toMatch(/^flanneld's \/status is of another version: peers\.0\./);
});

it('status: exit code and table follow the daemons that run here', async () => {
  expect(await runCommand(['status', '--run-dir', folder], '/nowhere')).toBe(1);
  await serve('flanneld', READY);
  await serve('felix', READY);
  said = '';
  expect(await runCommand(['status'], folder)).toBe(0);
  expect(said.split('\n').map((line) => line.slice(0, 36))).toEqual([
    'DAEMON    OK   CHECK    DETAIL',
    'flanneld  yes  feed     in sync',
    'bgpd      -    process  bgpd has not',
    'felix     yes  feed     in sync',
    '',
  ]);
  expect(Math.max(...said.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  await serve('bgpd', UNREADY, 503);
  expect(await runCommand(['status', '--json'], folder)).toBe(1);
});

it.each([
  [
    ['health', 'etcd'],
    "gingham: command-argument value 'etcd' is invalid for argument 'daemon'. Allowed choices are flanneld, bgpd, felix.",
  ],
  [['health'], "gingham: missing required argument 'daemon' (see gingham --help)"],
  [['statsu'], "gingham: unknown command 'statsu' (Did you mean status?) (see gingham --help)"],
  [['ping', '--count', '0'], 'gingham: --count "0" is not accepted: it takes a whole number of packets from 1 to 1000'],
  [['ping', '--flood'], "gingham: unknown option '--flood'"],
  [['ping'], 'gingham: this node has no subnet yet: no '],
  [['pod-exec', '--', 'true'], 'gingham: this node has no pod: '],
])('%j is refused on one line', async (argv, message) => {
  await expect(runCommand(argv, folder)).rejects.toThrow(message);
});

async function serve(daemon: string, body: unknown, status = 200): Promise<void> {
  await listen(daemon, (_, response) => void response.writeHead(status).end(JSON.stringify(body)));
}

async function listen(daemon: string, answer: RequestListener): Promise<void> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(join(folder, `${daemon}.http`), resolve));
}

/** What `kill -9` leaves: the socket's file without a listener. Node.js removes the file on close, so it is moved away. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = createSocketServer();
  await new Promise<void>((resolve) => server.listen(`${path}.living`, resolve));
  await rename(`${path}.living`, path);
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
